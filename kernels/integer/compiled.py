"""Round rows to dynamic integers in compiled code: the CPU twin of `kernels.integer.operation`.

One pass over a row, as `kernels.rows` describes it; results are the reference's to the bit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.elements.values import FixedPoint
from kernels.rows import (
    ONE,
    OPTIONS,
    ZERO,
    bits,
    largest,
    load,
    number,
    ordered,
    over_rows,
    round_fixed,
    spread,
    store,
)


def fake_quantize_integer_compiled(
    x: Float[Tensor, "... width"], element: FixedPoint, group: int
) -> Float[Tensor, "... width"]:
    """As `kernels.integer.operation.fake_quantize_integer`, for tensors on the CPU.

    Args:
        x: float32, bfloat16 or float16.
        element: codes, from 0 where they are asymmetric.
        group: divides the width.
    """
    low, high = np.float32(element.low), np.float32(element.high)
    return over_rows(x, lambda source, target: _integer(source, target, np.intp(group), low, high))


@njit(**OPTIONS)
def _extremes(values):
    """The smallest and the largest number, zero always among them; NaN counts as one of them."""
    least, most = np.int32(0), np.int32(0)
    for i in range(len(values)):
        key = ordered(bits(values[i]))
        least, most = key if key < least else least, key if key > most else most
    return number(ordered(least)), number(ordered(most))


@njit(**OPTIONS)
def _integer(source, target, group, low, high):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    bottom, top = np.full(width, low), np.full(width, high)
    scales = np.empty(width // group, np.float32)
    bottoms, tops = np.empty_like(scales), np.empty_like(scales)
    for row in range(rows):
        load(source[row], values)
        for k in range(len(scales)):
            run = values[k * group : (k + 1) * group]
            if low < 0:
                scales[k] = _usable(number(largest(run)) / high)
            else:
                least, most = _extremes(run)
                scales[k] = _usable(most / high - least / high)
                zero = min(max(np.rint(-least / scales[k]), ZERO), high)
                bottoms[k], tops[k] = low - zero, high - zero
        spread(scales, group, scale)
        if low == 0:
            spread(bottoms, group, bottom)
            spread(tops, group, top)
        round_fixed(values, scale, bottom, top, ONE)
        store(values, target[row])


@njit(**OPTIONS)
def _usable(scale):
    """1 for a scale of zero; NaN, which takes the whole group with it, for one that is infinite."""
    if scale == ZERO:
        return ONE
    return scale if scale < np.inf else np.float32(np.nan)
