"""What the network's answers are allowed, chosen on validation cases: length, and the beam's α.

Likeliest steps may run in circles: after `b` follows `b` again, with .6 each time, and no step is
ever the end. So a suffix has a limit on its length, and it matters most to argmax. It is one of a
few quantiles of the training suffixes' lengths, the one with the greatest mean similarity on
validation cases. Each kind of answer has its own:

    argmax      the limit; a lower one cuts the same suffixes shorter, so one decoding serves all
    beam        the limit and α together; one search serves all (`qcore.suffix.beam.within`)
    samples     no choice: the 99 % quantile. A lower one would bend what is believed about lengths
"""

from __future__ import annotations

from collections.abc import Sequence

from qcore.suffix.batches import Prefixes
from qcore.suffix.beam import Hypothesis, beam_search, tune, within
from qcore.suffix.decode import Limits, argmax, longest_suffix
from qcore.suffix.encoding import Encoded
from qcore.suffix.metrics import similarities
from qcore.suffix.model import SuffixNetwork

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Shares of training suffixes that end within a limit on length."""
BEAM_SHARES = SHARES[:6]
"""The beam pays for every event of a limit; longer ones did no better (SEPSIS, W-Complete)."""
REACH = 0.99
"""The share that samples, and the Markov chain, are allowed."""


def reach(encoded: Encoded, learned: Prefixes) -> int:
    """Events at most of what is drawn by chance."""
    return longest_suffix(encoded, learned, REACH)


def argmax_limit(
    network: SuffixNetwork,
    encoded: Encoded,
    learned: Prefixes,
    asked: Prefixes,
    truth: Sequence[Sequence[int]],
) -> int:
    """The limit with which argmax does best.

    Args:
        network: trained.
        encoded: holds all cases.
        learned: training prefixes.
        asked: validation prefixes.
        truth: their suffixes.
    """
    lengths = _lengths(encoded, learned, SHARES)
    whole = argmax(network, encoded, asked, Limits(max(lengths)))
    means = {n: similarities([s[:n] for s in whole], truth).mean() for n in lengths}
    return max(means, key=lambda n: means[n])


def beam_limit(
    network: SuffixNetwork,
    encoded: Encoded,
    learned: Prefixes,
    asked: Prefixes,
    truth: Sequence[Sequence[int]],
) -> tuple[int, float, float]:
    """The limit and the α with which the beam does best, and that mean similarity.

    Args:
        network: trained.
        encoded: holds all cases.
        learned: training prefixes.
        asked: validation prefixes.
        truth: their suffixes.
    """
    lengths = _lengths(encoded, learned, BEAM_SHARES)
    found = beam_search(network, encoded, asked, Limits(max(lengths)))
    best: dict[int, tuple[float, float]] = {}
    for longest in lengths:
        pools: list[list[Hypothesis]] = [within(each, longest) for each in found]
        alpha, means = tune(pools, truth)
        best[longest] = (alpha, means[alpha])
    longest = max(best, key=lambda n: best[n][1])
    return longest, *best[longest]


def _lengths(encoded: Encoded, learned: Prefixes, shares: Sequence[float]) -> list[int]:
    return list(dict.fromkeys(longest_suffix(encoded, learned, share) for share in shares))
