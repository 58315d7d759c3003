"""The Pareto front: the runs that no other run beats at their size or below."""

from __future__ import annotations

import math

import numpy as np

BROKEN_LOSS = math.log(30)
"""Nats per token over the float model (30 times its perplexity) at which a network is in pieces."""


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
