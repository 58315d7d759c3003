"""The compiled CPU twin of `kernels.integer` and `kernels.microscaling`: one pass over a token.

In torch every step of dynamic quantization reads and writes the whole tensor. Here a row is brought
into the first-level cache once, goes through all steps there, and is written once:

    widen        bfloat16 to float32, by its bit pattern (float16 is widened by torch before)
    scale        of each group, from the bits of its extremes
    spread       scales and bounds to one per feature, so that what follows is one long loop even
                 where groups are short
    round        divide, clamp, round, multiply
    narrow       to bfloat16, half to even

Every operation is the reference's, in its order and in float32, so the results are the reference's
bits, signs of zeros included. Extremes are found among integers: the bits of non-negative floats
are ordered as they are, with infinities above all numbers and NaN above those.

Rows do not touch each other: many of them are shared out over torch's threads, and the result does
not depend on how many there are. numba compiles once per machine and keeps the result on disk.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.elements import (
    FLOAT32_BIAS,
    FLOAT32_EXPONENT_MASK,
    FLOAT32_MANTISSA,
    ROUNDERS_MANTISSA,
    Element,
    FixedPoint,
    midmax_carry,
)
from kernels.microscaling import E8M0_MAX

SHARE = 1 << 18
"""Features that are worth a thread: some 50 µs of work."""

_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}
_MAGNITUDE = np.int32(0x7FFFFFFF)
_EXPONENT = np.int32(FLOAT32_EXPONENT_MASK)
_INFINITE = _EXPONENT
_NORMAL = np.int32(1 << FLOAT32_MANTISSA)
_HALF, _LESS_THAN_HALF = np.uint32(16), np.uint32(0x7FFF)
_QUIET_NAN = np.uint16(0x7FC0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def fake_quantize_integer_compiled(
    x: Float[Tensor, "... width"], element: FixedPoint, group: int
) -> Float[Tensor, "... width"]:
    """As `kernels.integer.fake_quantize_integer`, for tensors on the CPU.

    Args:
        x: float32, bfloat16 or float16.
        element: codes, from 0 where they are asymmetric.
        group: divides the width.
    """
    low, high = np.float32(element.low), np.float32(element.high)
    return _over_rows(x, lambda source, target: _integer(source, target, np.intp(group), low, high))


def fake_quantize_microscaling_compiled(
    x: Float[Tensor, "... width"], element: Element, block: int, *, midmax: bool
) -> Float[Tensor, "... width"]:
    """As `kernels.microscaling.fake_quantize_microscaling`, for tensors on the CPU.

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
        return _over_rows(x, lambda source, target: _fixed_blocks(source, target, *shared, *fixed))
    smallest = (element.min_exponent + FLOAT32_BIAS) << FLOAT32_MANTISSA
    shift = ((FLOAT32_MANTISSA - element.mantissa) << FLOAT32_MANTISSA) + ROUNDERS_MANTISSA
    floating = (np.int32(smallest), np.int32(shift), np.float32(element.largest))
    return _over_rows(x, lambda source, target: _float_blocks(source, target, *shared, *floating))


def _over_rows(
    x: Float[Tensor, "... width"], run: Callable[[np.ndarray, np.ndarray], None]
) -> Float[Tensor, "... width"]:
    """What `run` makes of `x`: it gets rows as float32, or as uint16 the bits of bfloat16."""
    if x.dtype == torch.float16:
        return _over_rows(x.float(), run).to(x.dtype)
    target = torch.empty(x.shape, dtype=x.dtype)
    if not x.numel():
        return target
    width = x.shape[-1]
    source_rows, target_rows = (
        (part.view(torch.uint16) if part.dtype == torch.bfloat16 else part).view(-1, width).numpy()
        for part in (x.detach().contiguous(), target)
    )
    shares = max(1, min(torch.get_num_threads(), x.numel() // SHARE, len(source_rows)))
    if shares == 1:
        run(source_rows, target_rows)
        return target
    parts = zip(
        np.array_split(source_rows, shares), np.array_split(target_rows, shares), strict=True
    )
    for task in [_pool(shares).submit(run, *part) for part in parts]:
        task.result()
    return target


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="quantize")


@njit(**_OPTIONS)
def _bits(number):
    return np.float32(number).view(np.int32)


@njit(**_OPTIONS)
def _number(bits):
    """The float32 with the low 32 of these bits: numba's sums of integers are wider."""
    return np.int32(bits).view(np.float32)


@njit(**_OPTIONS)
def _load(source, values):
    """A row as float32: a copy, or bfloat16's bits as the upper half of float32's."""
    if source.itemsize == 4:
        for i in range(len(source)):
            values[i] = source[i]
    else:
        for i in range(len(source)):
            values[i] = _number(np.uint32(source[i]) << _HALF)


@njit(**_OPTIONS)
def _store(values, target):
    """The row in its own type; bfloat16 half to even, NaN quiet."""
    if target.itemsize == 4:
        for i in range(len(target)):
            target[i] = values[i]
    else:
        for i in range(len(target)):
            bits = np.uint32(_bits(values[i]))
            rounded = (bits + _LESS_THAN_HALF + ((bits >> _HALF) & np.uint32(1))) >> _HALF
            target[i] = _QUIET_NAN if values[i] != values[i] else np.uint16(rounded)


@njit(**_OPTIONS)
def _spread(of_groups, group, of_features):
    for k in range(len(of_groups)):
        run, value = of_features[k * group : (k + 1) * group], of_groups[k]
        for i in range(group):
            run[i] = value


@njit(**_OPTIONS)
def _largest(values):
    """The bits of the largest magnitude."""
    most = np.int32(0)
    for i in range(len(values)):
        magnitude = np.int32(_bits(values[i]) & _MAGNITUDE)
        most = magnitude if magnitude > most else most
    return most


@njit(**_OPTIONS)
def _extremes(values):
    """The smallest and the largest number, zero always among them; NaN counts as one of them."""
    least, most = np.int32(0), np.int32(0)
    for i in range(len(values)):
        key = _ordered(_bits(values[i]))
        least, most = key if key < least else least, key if key > most else most
    return _number(_ordered(least)), _number(_ordered(most))


@njit(**_OPTIONS)
def _ordered(bits):
    """Bits of a float as an integer that is ordered as floats are; its own inverse."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & _MAGNITUDE))


@njit(**_OPTIONS)
def _integer(source, target, group, low, high):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    bottom, top = np.full(width, low), np.full(width, high)
    scales = np.empty(width // group, np.float32)
    bottoms, tops = np.empty_like(scales), np.empty_like(scales)
    for row in range(rows):
        _load(source[row], values)
        for k in range(len(scales)):
            run = values[k * group : (k + 1) * group]
            if low < 0:
                scales[k] = _usable(_number(_largest(run)) / high)
            else:
                least, most = _extremes(run)
                scales[k] = _usable(most / high - least / high)
                zero = min(max(np.rint(-least / scales[k]), _ZERO), high)
                bottoms[k], tops[k] = low - zero, high - zero
        _spread(scales, group, scale)
        if low == 0:
            _spread(bottoms, group, bottom)
            _spread(tops, group, top)
        _round_fixed(values, scale, bottom, top, _ONE)
        _store(values, target[row])


@njit(**_OPTIONS)
def _usable(scale):
    """1 for a scale of zero; NaN, which takes the whole group with it, for one that is infinite."""
    if scale == _ZERO:
        return _ONE
    return scale if scale < np.inf else np.float32(np.nan)


@njit(**_OPTIONS)
def _shared_scales(values, block, carry, max_exponent, scales):
    """The scales of a row's blocks, NaN for a block that holds NaN or an infinity."""
    for k in range(len(scales)):
        most = _largest(values[k * block : (k + 1) * block])
        if most >= _INFINITE:
            scales[k] = np.nan
            continue
        raised = most + (carry if most >= _NORMAL else carry >> 1)
        code = min(max((raised >> FLOAT32_MANTISSA) - max_exponent, 0), E8M0_MAX)
        scales[k] = _number(code << FLOAT32_MANTISSA if code else _NORMAL >> 1)


@njit(**_OPTIONS)
def _round_fixed(values, scale, low, high, unit):
    inverse = _ONE / unit  # of a power of two: exact
    for i in range(len(values)):
        step = values[i] / scale[i] * unit
        step = min(max(step, low[i]), high[i])
        values[i] = np.rint(step) * inverse * scale[i]


@njit(**_OPTIONS)
def _fixed_blocks(source, target, block, carry, max_exponent, low, high, unit):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    bottom, top = np.full(width, low), np.full(width, high)
    scales = np.empty(width // block, np.float32)
    for row in range(rows):
        _load(source[row], values)
        _shared_scales(values, block, carry, max_exponent, scales)
        _spread(scales, block, scale)
        _round_fixed(values, scale, bottom, top, unit)
        _store(values, target[row])


@njit(**_OPTIONS)
def _round_float(values, scale, smallest, shift, largest):
    """See `kernels.elements`: what is added and taken away leaves the mantissa's bits."""
    for i in range(len(values)):
        value = min(max(values[i] / scale[i], -largest), largest)
        exponent = max(_bits(value) & _EXPONENT, smallest)
        rounder = _number(exponent + shift)
        values[i] = math.copysign((value + rounder) - rounder, value) * scale[i]


@njit(**_OPTIONS)
def _float_blocks(source, target, block, carry, max_exponent, smallest, shift, largest):
    rows, width = source.shape
    values, scale = np.empty(width, np.float32), np.empty(width, np.float32)
    scales = np.empty(width // block, np.float32)
    for row in range(rows):
        _load(source[row], values)
        _shared_scales(values, block, carry, max_exponent, scales)
        _spread(scales, block, scale)
        _round_float(values, scale, smallest, shift, largest)
        _store(values, target[row])
