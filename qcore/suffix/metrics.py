"""How near a predicted suffix comes to the true one.

    similarity(a, b) = 1 − OSA(a, b) / max(|a|, |b|)          1 if both are empty

OSA is optimal string alignment, the Damerau–Levenshtein distance of the field: insertions,
deletions, substitutions and transpositions of neighbours, no part edited twice (CA → ABC is 3
apart, not 2). Lengths are counted without the end. The reported number is the mean over prefixes;
prefixes of one case resemble each other, so intervals resample cases, not prefixes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from rapidfuzz import process
from rapidfuzz.distance import OSA

from qcore.errors import DataError

Suffix = Sequence[int]

RESAMPLES = 2000


def similarity(a: Suffix, b: Suffix) -> float:
    """1 − OSA / max length of two suffixes."""
    return OSA.normalized_similarity(list(a), list(b))


def similarities(
    predicted: Sequence[Suffix], true: Sequence[Suffix]
) -> Float[np.ndarray, " prefixes"]:
    """Pair by pair.

    Raises:
        DataError: unequal numbers of predictions and truths.
    """
    if len(predicted) != len(true):
        raise DataError(
            f"{len(predicted)} predictions cannot be compared with {len(true)} suffixes",
            remedy="predict once for every prefix",
        )
    return np.array([similarity(a, b) for a, b in zip(predicted, true, strict=True)])


def similarity_matrix(
    a: Sequence[Suffix], b: Sequence[Suffix]
) -> Float[np.ndarray, "first second"]:
    """Every one of `a` against every one of `b`."""
    return process.cdist(
        [text(each) for each in a],
        [text(each) for each in b],
        scorer=OSA.normalized_similarity,
        dtype=np.float32,
        workers=1,
    )


def text(suffix: Suffix) -> str:
    """A string with a character per activity: compared faster than lists, the same distance."""
    return "".join(chr(0x100 + token) for token in suffix)


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one method on one set of prefixes.

    Attributes:
        similarity: mean over prefixes.
        low: end of the 95 % interval over cases; None with a single case.
        high: the other end.
        exact: share of suffixes predicted without any error.
        prefixes: how many.
        cases: how many.
        by_length: (k, mean similarity, prefixes) for each prefix length.
    """

    similarity: float
    low: float | None
    high: float | None
    exact: float
    prefixes: int
    cases: int
    by_length: tuple[tuple[int, float, int], ...]


def scores(
    values: Float[np.ndarray, " prefixes"],
    case: Int[np.ndarray, " prefixes"],
    length: Int[np.ndarray, " prefixes"],
    *,
    seed: int = 0,
) -> Scores:
    """Mean, interval over cases, exact share and means by prefix length.

    Args:
        values: similarities.
        case: which case each prefix belongs to.
        length: k of each prefix.
        seed: of the resampling.

    Raises:
        DataError: there are no prefixes.
    """
    if len(values) == 0:
        raise DataError(
            "there are no prefixes to score",
            remedy="evaluate cases longer than the shortest prefix",
        )
    lengths, place, counts = np.unique(length, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=values) / counts
    low, high = _interval(values, case, seed)
    return Scores(
        similarity=float(values.mean()),
        low=low,
        high=high,
        exact=float((values == 1).mean()),
        prefixes=len(values),
        cases=len(np.unique(case)),
        by_length=tuple(zip(lengths.tolist(), means.tolist(), counts.tolist(), strict=True)),
    )


def difference(
    a: Float[np.ndarray, " prefixes"],
    b: Float[np.ndarray, " prefixes"],
    case: Int[np.ndarray, " prefixes"],
    *,
    seed: int = 0,
) -> tuple[float, float | None, float | None]:
    """Mean of b − a on the same prefixes, with its 95 % interval over cases."""
    gap = np.asarray(b) - np.asarray(a)
    return (float(gap.mean()), *_interval(gap, case, seed))


@dataclass(frozen=True, slots=True)
class Spread:
    """Over folds: mean, sample standard deviation (None for one fold), and how many folds."""

    mean: float
    deviation: float | None
    folds: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation (n − 1) of one number per fold.

    Raises:
        DataError: no folds.
    """
    if not values:
        raise DataError("there are no folds", remedy="evaluate at least 1 fold")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, 1)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Spread(mean, math.sqrt(squares / (len(values) - 1)), len(values))


def _interval(values: np.ndarray, case: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """95 % percentiles of the mean over prefixes when cases are drawn anew."""
    _, place = np.unique(case, return_inverse=True)
    totals, counts = np.bincount(place, weights=values), np.bincount(place)
    if len(counts) == 1:
        return None, None
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = random.integers(0, len(counts), len(counts))
        means[i] = totals[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
