"""The compiled CPU twin of `kernels.microscaling.operation`: one pass over a token.

How a row is worked on stands in `kernels.rows`. Results are the reference's bits.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.elements.values import (
    FLOAT32_BIAS,
    FLOAT32_MANTISSA,
    ROUNDERS_MANTISSA,
    Element,
    FixedPoint,
    midmax_carry,
)
from kernels.microscaling.values import E8M0_MAX
from kernels.rows import (
    EXPONENT,
    INFINITE,
    NORMAL,
    OPTIONS,
    bits,
    largest,
    load,
    number,
    over_rows,
    round_fixed,
    spread,
    store,
)


def fake_quantize_microscaling_compiled(
    x: Float[Tensor, "... width"], element: Element, block: int, *, midmax: bool
) -> Float[Tensor, "... width"]:
    """As `kernels.microscaling.operation.fake_quantize_microscaling`, for tensors on the CPU.

    Args:
        x: float32, bfloat16 or float16.
        element: what a code stands for.
        block: elements that share a scale; divides the width.
        midmax: the rule for the shared exponent is `midmax`, not `floor`.
    """
    carry = midmax_carry(element) if midmax else 0
    shared = (np.intp(block), np.int32(carry), np.int32(element.max_exponent))
    if isinstance(element, FixedPoint):
        unit = np.float32(2.0**element.fraction)
        fixed = (np.float32(element.low), np.float32(element.high), unit)
        return over_rows(x, lambda source, target: _fixed_blocks(source, target, *shared, *fixed))
    smallest = (element.min_exponent + FLOAT32_BIAS) << FLOAT32_MANTISSA
    shift = ((FLOAT32_MANTISSA - element.mantissa) << FLOAT32_MANTISSA) + ROUNDERS_MANTISSA
    floating = (np.int32(smallest), np.int32(shift), np.float32(element.largest))
    return over_rows(x, lambda source, target: _float_blocks(source, target, *shared, *floating))


@njit(**OPTIONS)
def _shared_scales(values, block, carry, max_exponent, scales):
    """The scales of a row's blocks, NaN for a block that holds NaN or an infinity."""
    for k in range(len(scales)):
        most = largest(values[k * block : (k + 1) * block])
        if most >= INFINITE:
            scales[k] = np.nan
            continue
        raised = most + (carry if most >= NORMAL else carry >> 1)
        code = min(max((raised >> FLOAT32_MANTISSA) - max_exponent, 0), E8M0_MAX)
        scales[k] = number(code << FLOAT32_MANTISSA if code else NORMAL >> 1)


@njit(**OPTIONS)
def _fixed_blocks(source, target, block, carry, max_exponent, low, high, unit):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    bottom, top = np.full(width, low), np.full(width, high)
    scales = np.empty(width // block, np.float32)
    for row in range(rows):
        load(source[row], values)
        _shared_scales(values, block, carry, max_exponent, scales)
        spread(scales, block, scale)
        round_fixed(values, scale, bottom, top, unit)
        store(values, target[row])


@njit(**OPTIONS)
def _round_float(values, scale, smallest, shift, largest):
    """See `kernels.elements.values`: what is added and taken away leaves the mantissa's bits."""
    for i in range(len(values)):
        value = min(max(values[i] / scale[i], -largest), largest)
        exponent = max(bits(value) & EXPONENT, smallest)
        rounder = number(exponent + shift)
        values[i] = math.copysign((value + rounder) - rounder, value) * scale[i]


@njit(**OPTIONS)
def _float_blocks(source, target, block, carry, max_exponent, smallest, shift, largest):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    scales = np.empty(width // block, np.float32)
    for row in range(rows):
        load(source[row], values)
        _shared_scales(values, block, carry, max_exponent, scales)
        spread(scales, block, scale)
        _round_float(values, scale, smallest, shift, largest)
        store(values, target[row])
