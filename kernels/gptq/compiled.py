"""The compiled CPU twin of `kernels.gptq.operation`: columns in one pass, chunk by chunk.

Output channels are independent, so a chunk of `LANES` of them runs through all columns of the block
while its errors stay in the first-level cache; each column reads the errors before it four at a
time. numba compiles it once per machine and keeps the result on disk. It holds no lock while it
runs and its result does not depend on threads.

Against the reference only the order of the float32 sums differs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from numba import njit
from torch import Tensor

from kernels.elements.values import (
    FLOAT32_BIAS,
    FLOAT32_EXPONENT_MASK,
    FLOAT32_MANTISSA,
    ROUNDERS_MANTISSA,
    Element,
    FixedPoint,
)
from kernels.rows import WHOLE

LANES = 64


def round_block_compiled(
    columns: Float[Tensor, "block out"],
    propagated: Float[Tensor, "block out"],
    factor: Float[Tensor, "block block"],
    scale: Float[Tensor, "groups out"],
    zero: Float[Tensor, "groups out"] | None,
    group_of: Int64[Tensor, " block"],
    element: Element,
) -> tuple[Float[Tensor, "block out"], Float[Tensor, "block out"]]:
    """As `kernels.gptq.operation.round_block`, for tensors on the CPU."""
    values, errors = torch.empty(2, *columns.shape)
    arrays = [
        tensor.detach().contiguous().numpy()
        for tensor in (columns, propagated, factor.T, scale, group_of, values, errors)
    ]
    if isinstance(element, FixedPoint):
        offset = torch.zeros_like(scale) if zero is None else zero.contiguous()
        unit = np.float32(2.0**element.fraction)
        low, high = np.float32(element.low), np.float32(element.high)
        _fixed_point(low, high, unit, offset.numpy(), *arrays)
    else:
        smallest = (element.min_exponent + FLOAT32_BIAS) << FLOAT32_MANTISSA
        shift = ((FLOAT32_MANTISSA - element.mantissa) << FLOAT32_MANTISSA) + ROUNDERS_MANTISSA
        largest = np.float32(element.largest)
        _minifloat(np.int32(smallest), np.int32(shift), largest, *arrays)
    return values, errors


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _hear(target, errors, factor, column):
    """Add to `target` what the errors of columns before `column` mean for it."""
    lanes = len(target)
    k = 0
    while k + 4 <= column:
        f0, f1, f2, f3 = factor[k], factor[k + 1], factor[k + 2], factor[k + 3]
        for lane in range(lanes):
            target[lane] += (
                f0 * errors[k, lane]
                + f1 * errors[k + 1, lane]
                + f2 * errors[k + 2, lane]
                + f3 * errors[k + 3, lane]
            )
        k += 4
    while k < column:
        f0 = factor[k]
        for lane in range(lanes):
            target[lane] += f0 * errors[k, lane]
        k += 1


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fixed_point(
    low, high, unit, zero, columns, propagated, factor, scale, group_of, values, errors
):
    block, out = columns.shape
    own = np.empty((block, LANES), np.float32)
    for first in range(0, out, LANES):
        lanes = min(LANES, out - first)
        chunk = slice(first, first + lanes)
        for i in range(block):
            group = group_of[i]
            target, weight = propagated[i, chunk], columns[i, chunk]
            steps, offsets = scale[group, chunk], zero[group, chunk]
            value, error = values[i, chunk], own[i]
            for lane in range(lanes):
                target[lane] += weight[lane]
            _hear(target, own, factor[i], i)
            for lane in range(lanes):
                step = target[lane] / steps[lane] * unit
                step = min(max(step, low - offsets[lane]), high - offsets[lane])
                step = ((step + WHOLE) - WHOLE) / unit
                value[lane] = step
                error[lane] = weight[lane] - steps[lane] * step
        for i in range(block):
            errors[i, chunk] = own[i, :lanes]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _minifloat(
    smallest, shift, largest, columns, propagated, factor, scale, group_of, values, errors
):
    block, out = columns.shape
    own = np.empty((block, LANES), np.float32)
    rounder = np.empty(LANES, np.float32)
    bits = rounder.view(np.int32)
    for first in range(0, out, LANES):
        lanes = min(LANES, out - first)
        chunk = slice(first, first + lanes)
        for i in range(block):
            target, weight = propagated[i, chunk], columns[i, chunk]
            steps = scale[group_of[i], chunk]
            value, error = values[i, chunk], own[i]
            for lane in range(lanes):
                target[lane] += weight[lane]
            _hear(target, own, factor[i], i)
            for lane in range(lanes):
                target[lane] = min(max(target[lane] / steps[lane], -largest), largest)
                rounder[lane] = target[lane]
            for lane in range(lanes):
                bits[lane] = max(bits[lane] & np.int32(FLOAT32_EXPONENT_MASK), smallest) + shift
            for lane in range(lanes):
                rounded = (target[lane] + rounder[lane]) - rounder[lane]
                value[lane] = math.copysign(rounded, target[lane])
                error[lane] = weight[lane] - steps[lane] * value[lane]
        for i in range(block):
            errors[i, chunk] = own[i, :lanes]
