"""The compiled CPU twin of `kernels.mse_scale.operation`: a row stays cached meanwhile.

Sums run over the vector's lanes in another order than torch's, so two scales of equal gain may be
told apart differently; the gain reached is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.elements.values import FixedPoint
from kernels.rows import WHOLE


def search_mse_scale_compiled(
    rows: Float[Tensor, "rows width"],
    start: Float[Tensor, " rows"],
    zero: Float[Tensor, " rows"] | None,
    element: FixedPoint,
    fractions: Sequence[float],
    alternations: int,
) -> Float[Tensor, " rows"]:
    """As `kernels.mse_scale.operation.search_mse_scale`, for tensors on the CPU."""
    offset = torch.zeros_like(start) if zero is None else zero
    best = torch.empty(len(start))
    _search(
        rows.detach().contiguous().numpy(),
        start.contiguous().numpy(),
        offset.contiguous().numpy(),
        np.float32(element.low),
        np.float32(element.high),
        np.array(fractions, np.float32),
        alternations,
        best.numpy(),
    )
    return best


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _round(weights, scale, low, high, codes):
    for i in range(len(weights)):
        step = min(max(weights[i] / scale, low), high)
        codes[i] = (step + WHOLE) - WHOLE


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _products(weights, codes):
    wq = np.float32(0.0)
    qq = np.float32(0.0)
    for i in range(len(weights)):
        wq += weights[i] * codes[i]
        qq += codes[i] * codes[i]
    return wq, qq


@njit(cache=True, nogil=True, error_model="numpy")
def _search(rows, start, zero, low, high, fractions, alternations, best):
    count, width = rows.shape
    codes = np.empty(width, np.float32)
    two = np.float32(2.0)
    for row in range(count):
        weights = rows[row]
        bottom, top = low - zero[row], high - zero[row]
        scale = start[row]
        _round(weights, scale, bottom, top, codes)
        wq, qq = _products(weights, codes)
        most = scale * (two * wq - scale * qq)
        for fraction in fractions:
            tried = start[row] * fraction
            _round(weights, tried, bottom, top, codes)
            found_wq, found_qq = _products(weights, codes)
            found = tried * (two * found_wq - tried * found_qq)
            if found > most:
                scale, most, wq, qq = tried, found, found_wq, found_qq
        for _ in range(alternations):
            if wq <= 0:
                break
            tried = wq / qq
            _round(weights, tried, bottom, top, codes)
            wq, qq = _products(weights, codes)
            found = tried * (two * wq - tried * qq)
            if found > most:
                scale, most = tried, found
        best[row] = scale
