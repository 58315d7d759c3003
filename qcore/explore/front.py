"""The Pareto front: the runs that no other run beats at their size or below.

And what is drawn beside it: the float model's own score, and the runs that lost so much that a
picture which shows them shows nothing else.
"""

from __future__ import annotations

import math

import numpy as np

BROKEN_LOSS = math.log(30)
"""Nats per token over the float model (30 times its perplexity) at which a network is in pieces."""

_AGREED = 1e-3


def front(size: np.ndarray, score: np.ndarray, *, higher_is_better: bool = False) -> np.ndarray:
    """Places of the runs that no other run beats at their size or below, smallest first.

    A run belongs to the front when its score is strictly better than that of every smaller run.
    """
    usable = np.flatnonzero(np.isfinite(size) & np.isfinite(score))
    loss = -score[usable] if higher_is_better else score[usable]
    order = np.lexsort((loss, size[usable]))
    sorted_loss = loss[order]
    best_before = np.concatenate(([np.inf], np.minimum.accumulate(sorted_loss)[:-1]))
    return usable[order[sorted_loss < best_before]]


def reference(metric: str, float_perplexity: np.ndarray) -> float:
    """The float model's own score; NaN where it is not known or the runs disagree.

    Args:
        metric: its name.
        float_perplexity: of the float model on each run's windows; NaN where it was not measured.
    """
    certain = {"loss_increase": 0.0, "kl": 0.0, "top1_agreement": 1.0, "identical": 1.0}
    if metric != "perplexity":
        return certain.get(metric, math.nan)
    values = float_perplexity[np.isfinite(float_perplexity)]
    agreed = len(values) > 0 and np.ptp(values) <= _AGREED * values[0]
    return float(values[0]) if agreed else math.nan


def broken(metric: str, score: np.ndarray, reference: float) -> np.ndarray:
    """Which runs lost so much that drawing them would flatten all others; none if all did."""
    limits = {
        "kl": BROKEN_LOSS,
        "loss_increase": BROKEN_LOSS,
        "perplexity": reference * math.exp(BROKEN_LOSS),
    }
    lost = score > limits.get(metric, math.nan)
    return lost & ~lost.all()
