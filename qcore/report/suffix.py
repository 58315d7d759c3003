"""What a Report of a suffix network holds beside its metrics: see `SuffixReport`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of training: losses in nats per event, and whether it was the best so far."""

    number: int
    training: float
    validation: float
    best: bool


@dataclass(frozen=True, slots=True)
class LengthReport:
    """Mean similarity of the suffixes after prefixes of one length.

    Attributes:
        length: events of the prefix.
        prefixes: how many.
        network: of the network that the recipe asked for.
        unquantized: of the float network.
        lookup: of the most frequent continuation of the longest matching prefix.
        markov: of the first-order chain.
    """

    length: int
    prefixes: int
    network: float
    unquantized: float
    lookup: float
    markov: float


@dataclass(frozen=True, slots=True)
class SuffixReport:
    """How well a network predicts suffixes, and what that is compared with.

    A case's share of a mean over prefixes is its prefixes' sum over the mean number of prefixes of
    a case: the shares' mean is the metric, and cases can be resampled in pairs.

    Attributes:
        alpha: of the beam's score, chosen on validation cases; None without a beam.
        longest: events of a suffix at most, likewise.
        cases: test cases.
        prefixes: prefixes that were answered.
        similarities: each case's share of the similarity.
        identical: each case's share of the suffixes that are the float network's.
        lengths: by length of the prefix.
        baselines: mean similarity by name: `float`, `lookup`, `markov`.
        epochs: of the training.
    """

    alpha: float | None
    longest: int
    cases: int
    prefixes: int
    similarities: tuple[float, ...]
    identical: tuple[float, ...]
    lengths: tuple[LengthReport, ...]
    baselines: dict[str, float]
    epochs: tuple[EpochReport, ...]
