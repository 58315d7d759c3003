"""The triton twin of `kernels.integer.operation`: each token or group is read and written once.

A row of features that share a scale lies in registers, padded with zeros to a power of two (zero
changes neither its largest magnitude nor a range that holds 0). Rows above `WIDEST` features are
read twice instead, chunk by chunk; the second time they come from the L2 cache. Extremes are found
on integers that order like the floats, so that NaN comes out on top instead of being passed over.
Divisions round to nearest: results equal the reference's, computed on the CPU, bit for bit. (On a
GPU torch itself multiplies by the reciprocal of a number that it should divide by.)

Rows are shared out so that a program has about 4096 elements, and a wider row more warps: a fixed
table (`tile`), not tuned at run time, so that equal calls run equal code.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import (
    EXPONENT_MASK,
    MAGNITUDE_MASK,
    clip,
    magnitude_bits,
    rounded_to,
    to_float32,
    whole,
)
from kernels.elements.values import FixedPoint
from kernels.launch import launch
from kernels.tiles import tile

WIDEST = 1 << 14
INFINITY = tl.constexpr(0x7F800000)
MINUS_INFINITY = tl.constexpr(-0x7F800001)
"""The keys of the infinities, see `_key`; NaN lies beyond them."""


def fake_quantize(x: Tensor, element: FixedPoint, *, symmetric: bool, group: int) -> Tensor:
    """Do as `fake_quantize_integer` with checked arguments; `group` divides x."""
    x = x.contiguous()
    y = torch.empty_like(x)
    rows = x.numel() // group if group else 0
    if not rows:
        return y
    meta = {
        "enable_fp_fusion": False,
        "SYMMETRIC": symmetric,
        "LOW": float(element.low),
        "HIGH": float(element.high),
    }
    if group > WIDEST:
        launch(_chunks, (rows,), x, x, y, group, **meta, CHUNK=WIDEST // 2, num_warps=8)
    else:
        shape = tile(group)
        launch(
            _rows,
            (triton.cdiv(rows, shape.rows),),
            x,
            x,
            y,
            rows,
            group,
            **meta,
            ROWS=shape.rows,
            WIDTH=shape.width,
            num_warps=shape.warps,
        )
    return y


@triton.jit
def _key(x):
    """Integers that order like float32 `x`, NaN at the ends by its sign; an involution."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & MAGNITUDE_MASK)


@triton.jit
def _value(key):
    return (key ^ ((key >> 31) & MAGNITUDE_MASK)).to(tl.float32, bitcast=True)


@triton.jit
def _symmetric_scale(largest, HIGH: tl.constexpr):
    """Symmetric scales from the bits of the largest magnitudes."""
    value = tl.where(largest >= EXPONENT_MASK, float("nan"), largest.to(tl.float32, bitcast=True))
    scale = tl.div_rn(value, HIGH)
    return tl.where(scale == 0.0, 1.0, scale)


@triton.jit
def _asymmetric_scale(least, most, LEVELS: tl.constexpr):
    """Scales and zero points from the keys of the extremes, 0 among them."""
    broken = (most >= INFINITY) | (least <= MINUS_INFINITY)
    low = tl.where(broken, float("nan"), _value(least))
    scale = tl.div_rn(_value(most), LEVELS) - tl.div_rn(low, LEVELS)
    scale = tl.where(scale == 0.0, 1.0, scale)
    return scale, whole(clip(tl.div_rn(-low, scale), 0.0, LEVELS))


@triton.jit
def _dequantized(x, scale, zero, LOW: tl.constexpr, HIGH: tl.constexpr):
    return whole(clip(tl.div_rn(x, scale), LOW - zero, HIGH - zero)) * scale


@triton.jit
def quantize_rows(x, SYMMETRIC: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr):
    """Quantize float32 `x` [rows, group] and dequantize it; zeros in its padding."""
    if SYMMETRIC:
        scale = _symmetric_scale(tl.max(magnitude_bits(x), 1), HIGH)
        zero = tl.zeros_like(scale)
    else:
        key = _key(x)
        least, most = tl.minimum(tl.min(key, 1), 0), tl.maximum(tl.max(key, 1), 0)
        scale, zero = _asymmetric_scale(least, most, HIGH)
    return _dequantized(x, scale[:, None], zero[:, None], LOW, HIGH)


@triton.jit
def _rows(
    x_ptr,
    y_ptr,
    rows,
    group,
    SYMMETRIC: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    at = row[:, None] * group + column[None, :]
    inside = (row < rows)[:, None] & (column < group)[None, :]
    x = to_float32(tl.load(x_ptr + at, mask=inside, other=0.0))
    y = quantize_rows(x, SYMMETRIC, LOW, HIGH)
    tl.store(y_ptr + at, rounded_to(y, y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _chunks(
    x_ptr,
    y_ptr,
    group,
    SYMMETRIC: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    CHUNK: tl.constexpr,
):
    start = tl.program_id(0).to(tl.int64) * group
    column = tl.arange(0, CHUNK)
    least, most = tl.zeros((CHUNK,), tl.int32), tl.zeros((CHUNK,), tl.int32)
    for first in range(0, group, CHUNK):
        inside = column < group - first
        x = to_float32(tl.load(x_ptr + start + first + column, mask=inside, other=0.0))
        if SYMMETRIC:
            most = tl.maximum(most, magnitude_bits(x))
        else:
            key = _key(x)
            least, most = tl.minimum(least, key), tl.maximum(most, key)
    if SYMMETRIC:
        scale = _symmetric_scale(tl.max(most, 0), HIGH)
        zero = 0.0
    else:
        scale, zero = _asymmetric_scale(tl.min(least, 0), tl.max(most, 0), HIGH)
    for first in range(0, group, CHUNK):
        inside = column < group - first
        at = start + first + column
        x = to_float32(tl.load(x_ptr + at, mask=inside, other=0.0))
        y = _dequantized(x, scale, zero, LOW, HIGH)
        tl.store(y_ptr + at, rounded_to(y, y_ptr.dtype.element_ty), mask=inside)
