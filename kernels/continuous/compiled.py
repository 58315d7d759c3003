"""The compiled CPU twin of the continuous minifloats: one pass over the blocks in each direction.

The reference walks over a tensor about fifteen times; with 100 million weights to a step, memory
decides. Here `CHUNK` elements stay in the first-level cache, and every loop over them is one that
the compiler turns into vector instructions. Values are the reference's to the last bit, because
the same operations follow one another in the same order: nothing is contracted, and a number is
rounded half to even by adding 1.5·2^23 and taking it away. The sums are of the
reference's float32 products, in float64 as there, in another order.

A tensor is cut into parts of `PART` elements, one to a thread at a time; their sums are added in
stored order, so that the result does not depend on how many threads there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

from kernels.continuous.values import Slopes, Widths
from kernels.elements.values import FLOAT32_MANTISSA
from kernels.microscaling.values import BLOCK, E8M0_MAX, ScaleRule
from kernels.rows import EXPONENT, INFINITE, MAGNITUDE, WHOLE

PART = 1 << 18
"""Elements of a part: one MB of float32; a multiple of `CHUNK`."""

CHUNK = 32 * BLOCK
"""Elements worked on at a time."""


def round_compiled(
    blocks: Float[Tensor, "blocks 32"], widths: Widths, rule: ScaleRule
) -> Float[Tensor, "blocks 32"]:
    """`blocks` rounded; float32, on the CPU."""
    x = blocks.contiguous().view(-1).numpy()
    rounded = torch.empty(blocks.shape)
    out, constants = rounded.view(-1).numpy(), _constants(widths, rule)
    _by_parts(len(x), lambda part: _round(x[part], out[part], *constants))
    return rounded


def slopes_compiled(
    blocks: Float[Tensor, "blocks 32"],
    grad: Float[Tensor, "blocks 32"],
    widths: Widths,
    rule: ScaleRule,
    through: bool,
) -> tuple[Slopes, Float[Tensor, "blocks 32"] | None]:
    """The sums of `Slopes`, and the gradient with respect to x if it is asked for."""
    x, g = (item.contiguous().view(-1).numpy() for item in (blocks, grad))
    passed = torch.empty(blocks.shape if through else (0, BLOCK))
    out, constants = passed.view(-1).numpy(), _constants(widths, rule)
    sums = np.zeros((-(-len(x) // PART), 3))

    def add(part: slice) -> None:
        _slopes(x[part], g[part], out[part], sums[part.start // PART], *constants)

    _by_parts(len(x), add)
    rounding, subnormal, clipping = torch.from_numpy(sums).sum(0)
    return Slopes(rounding, subnormal, clipping), passed if through else None


def _by_parts(elements: int, work: Callable[[slice], None]) -> None:
    parts = [slice(at, min(at + PART, elements)) for at in range(0, elements, PART)]
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))


def _constants(widths: Widths, rule: ScaleRule) -> tuple[np.generic, ...]:
    return (
        np.int32(widths.carry(rule)),
        np.int32(widths.whole),
        np.float32(widths.stretch),
        np.float32(widths.smallest),
        np.float32(widths.unit),
        np.float32(widths.largest),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _spread_scales(pattern, carry, whole, stretch, scales):
    """Every element's scale, from the bits of the blocks that share one."""
    own = np.empty(1, np.float32)
    bits = own.view(np.int32)
    for block in range(len(scales)):
        largest = np.int32(0)
        for i in range(BLOCK):  # the cast keeps 32-bit lanes
            largest = max(largest, np.int32(pattern[block * BLOCK + i] & MAGNITUDE))
        # float32's subnormals have one bit less of mantissa.
        raised = largest + (carry >> 1 if largest < 1 << FLOAT32_MANTISSA else carry)
        code = min(max((raised >> FLOAT32_MANTISSA) - whole, 0), E8M0_MAX)
        # 2^−127 is subnormal in float32.
        bits[0] = code << FLOAT32_MANTISSA if code > 0 else 1 << (FLOAT32_MANTISSA - 1)
        scale = own[0] * stretch if largest < INFINITE else np.float32(np.nan)
        for i in range(BLOCK):
            scales[block, i] = scale


@njit(cache=True, nogil=True, error_model="numpy")
def _scaled(x, scale, values, pattern, fields):
    """Values over their scales, and the bits of their binades' powers of two."""
    for i in range(len(x)):
        values[i] = x[i] / scale[i]
    for i in range(len(x)):
        fields[i] = pattern[i] & EXPONENT


@njit(cache=True, nogil=True, error_model="numpy")
def _clip(x, scale, values, powers, out, smallest, unit, top):
    for i in range(len(x)):
        step = max(powers[i], smallest) * unit
        value = ((values[i] / step + WHOLE) - WHOLE) * step
        value = min(max(value, -top), top)
        out[i] = math.copysign(value * scale[i], x[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _zones(x, grad, scale, values, powers, passed, small, edges, smallest, unit, top):
    """Turns `values` into the products behind Slopes' first sum, and fills the others."""
    none = np.float32(0.0)
    for i in range(len(x)):
        step = max(powers[i], smallest) * unit
        value = ((values[i] / step + WHOLE) - WHOLE) * step
        clipped = abs(value) > top
        arrived = none if clipped else grad[i]
        error = (x[i] - value * scale[i]) * arrived
        passed[i] = arrived
        values[i] = error
        small[i] = error if powers[i] < smallest else none
        edges[i] = math.copysign(scale[i], x[i]) * (grad[i] - arrived)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})
def _sum(values):
    total = 0.0
    for i in range(len(values)):
        total += np.float64(values[i])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _round(x, out, carry, whole, stretch, smallest, unit, top):
    scales = np.empty((CHUNK // BLOCK, BLOCK), np.float32)
    values, powers = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    bits, pattern, fields = x.view(np.int32), values.view(np.int32), powers.view(np.int32)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        part, count = slice(first, last), last - first
        _spread_scales(bits[part], carry, whole, stretch, scales[: count // BLOCK])
        scale = scales.reshape(-1)[:count]
        _scaled(x[part], scale, values, pattern, fields)
        _clip(x[part], scale, values, powers, out[part], smallest, unit, top)


@njit(cache=True, nogil=True, error_model="numpy")
def _slopes(x, grad, out, sums, carry, whole, stretch, smallest, unit, top):
    scales = np.empty((CHUNK // BLOCK, BLOCK), np.float32)
    values, powers = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    bits, pattern, fields = x.view(np.int32), values.view(np.int32), powers.view(np.int32)
    small, edges = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    passed = np.empty(CHUNK, np.float32)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        part, count = slice(first, last), last - first
        _spread_scales(bits[part], carry, whole, stretch, scales[: count // BLOCK])
        scale = scales.reshape(-1)[:count]
        _scaled(x[part], scale, values, pattern, fields)
        target = out[part] if len(out) else passed
        _zones(
            x[part], grad[part], scale, values, powers, target, small, edges, smallest, unit, top
        )
        sums[0] += _sum(values[:count])
        sums[1] += _sum(small[:count])
        sums[2] += _sum(edges[:count])
