"""Rows in compiled code: what the CPU twins of dynamic quantization share.

In torch every step of dynamic quantization reads and writes the whole tensor. Here a row is brought
into the first-level cache once, goes through all steps there, and is written once:

    load         bfloat16 to float32, by its bit pattern (float16 is widened by torch before)
    scale        each group, from the bits of its extremes (`largest`, `ordered`)
    spread       scales and bounds to one per feature, so that what follows is one long loop even
                 where groups are short
    round        divide, clamp, round, multiply (`round_fixed`)
    store        to bfloat16, half to even

Every operation is the reference's, in its order and in float32, so the results are the reference's
bits, signs of zeros included. Extremes are found among integers: the bits of non-negative floats
are ordered as they are, with infinities above all numbers and NaN above those.

Rows do not touch each other: many of them are shared out over torch's threads, and the result does
not depend on how many there are. numba compiles once per machine and keeps the result on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.elements.values import FLOAT32_EXPONENT_MASK, FLOAT32_MANTISSA

WHOLE = np.float32(1.5 * 2**FLOAT32_MANTISSA)
"""Added and taken away, it rounds any smaller float32 half to even."""

SHARE = 1 << 18
"""Features that are worth a thread: some 50 µs of work."""

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}

MAGNITUDE = np.int32(0x7FFFFFFF)
"""All bits but the sign's."""

EXPONENT = np.int32(FLOAT32_EXPONENT_MASK)
INFINITE = EXPONENT
"""The exponent field's bits, which alone are the infinity."""

NORMAL = np.int32(1 << FLOAT32_MANTISSA)
"""The bits of the smallest normal number."""

_HALF, _LESS_THAN_HALF = np.uint32(16), np.uint32(0x7FFF)

_QUIET_NAN = np.uint16(0x7FC0)

ZERO, ONE = np.float32(0.0), np.float32(1.0)


def over_rows(
    x: Float[Tensor, "... width"], run: Callable[[np.ndarray, np.ndarray], None]
) -> Float[Tensor, "... width"]:
    """Let `run` fill a new tensor from `x`, its rows shared out over threads.

    `run` gets source and target rows as float32, or as uint16 the bits of bfloat16.
    """
    if x.dtype == torch.float16:
        return over_rows(x.float(), run).to(x.dtype)
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


@njit(**OPTIONS)
def bits(number):
    """The bits of a float32, as an int32."""
    return np.float32(number).view(np.int32)


@njit(**OPTIONS)
def number(bits):
    """The float32 with the low 32 of these bits: numba's sums of integers are wider."""
    return np.int32(bits).view(np.float32)


@njit(**OPTIONS)
def load(source, values):
    """A row as float32: a copy, or bfloat16's bits as the upper half of float32's."""
    if source.itemsize == 4:
        for i in range(len(source)):
            values[i] = source[i]
    else:
        for i in range(len(source)):
            values[i] = number(np.uint32(source[i]) << _HALF)


@njit(**OPTIONS)
def store(values, target):
    """The row in its own type; bfloat16 half to even, NaN quiet."""
    if target.itemsize == 4:
        for i in range(len(target)):
            target[i] = values[i]
    else:
        for i in range(len(target)):
            wide = np.uint32(bits(values[i]))
            rounded = (wide + _LESS_THAN_HALF + ((wide >> _HALF) & np.uint32(1))) >> _HALF
            target[i] = _QUIET_NAN if values[i] != values[i] else np.uint16(rounded)


@njit(**OPTIONS)
def spread(of_groups, group, of_features):
    """Each group's value on all its features."""
    for k in range(len(of_groups)):
        run, value = of_features[k * group : (k + 1) * group], of_groups[k]
        for i in range(group):
            run[i] = value


@njit(**OPTIONS)
def largest(values):
    """The bits of the largest magnitude."""
    most = np.int32(0)
    for i in range(len(values)):
        magnitude = np.int32(bits(values[i]) & MAGNITUDE)
        most = magnitude if magnitude > most else most
    return most


@njit(**OPTIONS)
def ordered(bits):
    """Bits of a float as an integer that is ordered as floats are; its own inverse."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & MAGNITUDE))


@njit(**OPTIONS)
def round_fixed(values, scale, low, high, unit):
    """Divide by the scale, clamp to the codes, round half to even, multiply back."""
    inverse = ONE / unit  # of a power of two: exact
    for i in range(len(values)):
        step = values[i] / scale[i] * unit
        step = min(max(step, low[i]), high[i])
        values[i] = np.rint(step) * inverse * scale[i]
