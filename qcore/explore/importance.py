"""Which knob explains how much of what was measured? Shapley shares of an analysis of variance.

Runs are rarely a full grid, so knobs overlap: whoever turned on a rotation may have turned on
Qronos, too. What a knob explains then depends on which other knobs are known already. The fair
answer is the mean over all orders in which knobs can become known of what it adds (Shapley's value;
for shares of variance: Lindeman, Merenda and Gold 1980, Grömping 2007).

    y     = μ + Σ effect of each knob's value + rest        least squares, an effect for each value
    v(S)  = (explained by the knobs of S − df(S)·σ²) / all  sums of squares around the mean
    share = mean over all orders of v(before and knob) − v(before)

σ² is the rest of the fit to all knobs over its degrees of freedom. Taking it off once for each
effect that was fitted makes v an ε² (Kelley 1935): a knob that does not matter has a share about
zero, where R² would give it one for every value it has. Over a full grid the shares are those of
the analysis of variance, and always they add up to the adjusted R² of the whole fit.

Whether the fit is worth anything is asked of runs that it has not seen: each is foretold from all
others, with effects shrunk towards zero (ridge, of the penalty that foretells best), so that a
value that one run alone has is foretold by the mean. The error of a linear smoother is its
residual / (1 − leverage), so leaving out needs no second fit.

Knobs that take their values together in all runs cannot be told apart: they are one group, under
all of their names. Effects add up; what only a pair of values brings together is in no share.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from qcore.errors import InvalidRecipe

FEWEST_RUNS = 8
SPARE_RUNS = 4
"""More runs than effects and their mean: what is left to tell σ² from."""

MOST_KNOBS = 9
"""Groups whose shares are computed: 2^9 fits. Those that explain most alone are taken."""

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the ridge, to choose from: in runs' worth of shrinking for each value of a knob."""


@dataclass(frozen=True, slots=True)
class KnobImportance:
    """What a knob explains.

    Attributes:
        paths: the knob's path in a recipe; several for knobs that were only turned together.
        values: how many different ones were measured.
        share: of the variance; the shares add up to `explained`.
        alone: explained by it where no other knob is known.
    """

    paths: tuple[str, ...]
    values: int
    share: float
    alone: float


@dataclass(frozen=True, slots=True)
class Importance:
    """How much of a number the knobs explain.

    Attributes:
        knobs: the most important first.
        explained: share of the variance that all of them explain together (adjusted R²).
        foretold: share of the variance of runs that were left out of the fit; zero or less where
            the knobs foretell nothing.
        runs: that were measured.
        dropped: paths of knobs that were left out as less telling than `MOST_KNOBS` others.
    """

    knobs: tuple[KnobImportance, ...]
    explained: float
    foretold: float
    runs: int
    dropped: tuple[str, ...]


def importance(numbers: Sequence[float], knobs: Mapping[str, Sequence[Hashable]]) -> Importance:
    """How much of the spread of a number over runs each knob explains.

    Args:
        numbers: one a run, such as log KL.
        knobs: path → its value in each run, None where it is absent.

    Raises:
        InvalidRecipe: no knob differs, all numbers are equal, or there are too few runs to say
            anything.
    """
    y = np.asarray(numbers, dtype=np.float64)
    parts = [_Part(paths, codes) for codes, paths in _groups(knobs).items()]
    if not parts:
        raise InvalidRecipe(
            f"no knob differs among {len(y)} runs, so none explains anything",
            remedy="run a sweep over some",
        )
    parts.sort(key=lambda part: -_explained(y, [part])[0])
    kept, dropped = parts[:MOST_KNOBS], parts[MOST_KNOBS:]
    whole, effects = _explained(y, kept)
    needed = max(FEWEST_RUNS, effects + 1 + SPARE_RUNS)
    if len(y) < needed:
        raise InvalidRecipe(
            f"{len(y)} runs, with {effects} effects of {len(parts)} knobs to tell apart, are too "
            "few to say which matters",
            remedy=f"measure {needed} or more on this text",
        )
    if not np.isfinite(y).all() or np.ptp(y) == 0:
        raise InvalidRecipe(
            f"{len(y)} runs have the same number, or one that is not finite",
            remedy="choose runs that differ",
        )
    noise = (1 - whole) / (len(y) - 1 - effects)
    values: dict[tuple[int, ...], float] = {}
    for size in range(len(kept) + 1):
        for chosen in combinations(range(len(kept)), size):
            raw, fitted = _explained(y, [kept[at] for at in chosen])
            values[chosen] = raw - fitted * noise
    found = [
        KnobImportance(part.paths, part.levels, _shapley(at, len(kept), values), values[(at,)])
        for at, part in enumerate(kept)
    ]
    return Importance(
        tuple(sorted(found, key=lambda knob: -knob.share)),
        values[tuple(range(len(kept)))],
        max(_foretold(y, kept, penalty) for penalty in PENALTIES),
        len(y),
        tuple(path for part in dropped for path in part.paths),
    )


class _Part:
    """A group of knobs as indicator columns, one for each value, centred."""

    def __init__(self, paths: tuple[str, ...], codes: tuple[int, ...]):
        self.paths = paths
        self.levels = max(codes) + 1
        columns = np.eye(self.levels)[list(codes)]  # (runs, values)
        self.columns = columns - columns.mean(axis=0)


def _groups(knobs: Mapping[str, Sequence[Hashable]]) -> dict[tuple[int, ...], tuple[str, ...]]:
    """The paths by how they part the runs; those that part them alike are together."""
    found: dict[tuple[int, ...], tuple[str, ...]] = {}
    for path, values in knobs.items():
        seen: dict[Hashable, int] = {}
        codes = tuple(seen.setdefault(value, len(seen)) for value in values)
        if len(seen) > 1:
            found[codes] = (*found.get(codes, ()), path)
    return found


def _explained(y: np.ndarray, parts: Sequence[_Part]) -> tuple[float, int]:
    """R² of the least-squares fit, and how many effects were free in it."""
    if not parts:
        return 0.0, 0
    centred = y - y.mean()
    x = np.concatenate([part.columns for part in parts], axis=1)  # (runs, values of all)
    solved, _, rank, _ = np.linalg.lstsq(x, centred, rcond=1e-9)
    fitted = x @ solved
    spread = float(centred @ centred)
    return (float(fitted @ fitted) / spread if spread else 0.0), int(rank)


def _foretold(y: np.ndarray, parts: Sequence[_Part], penalty: float) -> float:
    """How much better runs left out are foretold than by the others' mean, in squared errors.

    Args:
        y: `[runs]`.
        parts: known knobs.
        penalty: of the ridge.
    """
    runs = len(y)
    centred = y - y.mean()
    leverage = np.full(runs, 1 / runs)
    left = centred
    if parts:
        x = np.concatenate([part.columns for part in parts], axis=1)  # (runs, values of all)
        solved = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)
        leverage = leverage + np.einsum("ij,ji->i", x, solved)
        left = centred - x @ (solved @ centred)
    errors = left / (1 - leverage)
    plain = centred / (1 - 1 / runs)
    return 1 - float(errors @ errors) / float(plain @ plain)


def _shapley(at: int, count: int, values: Mapping[tuple[int, ...], float]) -> float:
    """The mean over all orders of what one part adds to those before it."""
    others = [other for other in range(count) if other != at]
    total = 0.0
    for size in range(count):
        weight = 1 / (count * math.comb(count - 1, size))
        for before in combinations(others, size):
            both = tuple(sorted((*before, at)))
            total += weight * (values[both] - values[before])
    return total
