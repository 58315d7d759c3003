"""The triton twin of `kernels.microscaling.operation`: blocks of 32 read once, written once.

The largest magnitude of a block is found on the integers that order like it, so that NaN comes out
on top instead of being passed over. Scales are powers of two, so a division by one is a
multiplication by its reciprocal, rounded alike even among subnormals. Codes, scales and values
equal the reference's bit for bit.

One program takes `BLOCKS` blocks, 4096 elements: with four warps that is 32 a thread, four vector
loads of 16-bit elements in flight. The choice is fixed, not tuned at run time, so that equal calls
run equal code.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import (
    EXPONENT_MASK,
    magnitude_bits,
    nearest_value,
    rounded_to,
    to_float32,
)
from kernels.elements.triton import constants as element_constants
from kernels.elements.values import (
    FLOAT32_BIAS,
    FLOAT32_MANTISSA,
    Element,
    Minifloat,
    code_dtype,
    midmax_carry,
)
from kernels.launch import launch

BLOCKS = 128
MANTISSA_BITS = tl.constexpr(FLOAT32_MANTISSA)
SMALLEST_NORMAL = tl.constexpr(1 << FLOAT32_MANTISSA)
QUIET_NAN = tl.constexpr(0x7FC00000)
HALF_SMALLEST = tl.constexpr(1 << (FLOAT32_MANTISSA - 1))  # 2^−127, subnormal in float32


def constants(element: Element, rule: str) -> dict[str, float | int | bool]:
    """The compile-time arguments of `quantize_blocks`.

    MAX_EXPONENT: of the element; CARRY: what makes a mantissa above the rule's threshold carry.
    """
    return {
        "MAX_EXPONENT": element.max_exponent,
        "CARRY": midmax_carry(element) if rule == "midmax" else 0,
        **element_constants(element),
    }


def fake_quantize(x: Tensor, element: Element, rule: str) -> Tensor:
    """As `kernels.microscaling.operation.fake_quantize_microscaling`, its arguments checked."""
    x = x.contiguous()
    y = torch.empty_like(x)
    blocks = x.numel() // 32
    launch(
        _fake_quantize, (triton.cdiv(blocks, BLOCKS),), x,
        x, y, blocks, **constants(element, rule), BLOCKS=BLOCKS, enable_fp_fusion=False,
    )  # fmt: skip
    return y


def quantize(x: Tensor, element: Element, rule: str) -> tuple[Tensor, Tensor]:
    """As `kernels.microscaling.operation.quantize_microscaling`, its arguments checked."""
    x = x.contiguous()
    codes = torch.empty_like(x, dtype=code_dtype(element))
    shared = x.new_empty((*x.shape[:-1], x.shape[-1] // 32), dtype=torch.uint8)
    mantissa = element.mantissa if isinstance(element, Minifloat) else 0
    least = element.min_exponent if isinstance(element, Minifloat) else 0
    sign = element.sign_bit if isinstance(element, Minifloat) else 0
    launch(
        _quantize, (triton.cdiv(shared.numel(), BLOCKS),), x,
        x, codes, shared, shared.numel(), **constants(element, rule), MANTISSA=mantissa,
        LOWEST=(least + FLOAT32_BIAS) << mantissa, TO_MULTIPLES=2.0 ** (mantissa - least),
        MOST_MULTIPLES=float(1 << mantissa), SIGN=sign, BLOCKS=BLOCKS, enable_fp_fusion=False,
    )  # fmt: skip
    return codes, shared


@triton.jit
def _power(code):
    """2^(code − 127) as float32, for codes 0 to 254; NaN for 255 and above."""
    bits = tl.where(code == 0, HALF_SMALLEST, code << MANTISSA_BITS)
    return tl.where(code >= 255, QUIET_NAN, bits).to(tl.float32, bitcast=True)


@triton.jit
def quantize_blocks(
    x,
    MAX_EXPONENT: tl.constexpr,
    CARRY: tl.constexpr,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
):
    """Element values [blocks, 32] of float32 `x`, the E8M0 codes [blocks] and the scales."""
    largest = tl.max(magnitude_bits(x), 1)
    bits = largest + tl.where(largest < SMALLEST_NORMAL, CARRY >> 1, CARRY)
    code = tl.minimum(tl.maximum((bits >> MANTISSA_BITS) - MAX_EXPONENT, 0), 254)
    code = tl.where(largest >= EXPONENT_MASK, 255, code)
    inverse = _power(tl.where(code == 255, 255, 254 - code))
    v = x * inverse[:, None]
    values = nearest_value(v, 0.0, FLOAT, LOW, HIGH, UNIT, SMALLEST, SHIFT)
    return values, code, _power(code)


@triton.jit
def _load(x_ptr, blocks, BLOCKS: tl.constexpr):
    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    at = block[:, None] * 32 + tl.arange(0, 32)[None, :]
    inside = (block < blocks)[:, None] & (tl.arange(0, 32) >= 0)[None, :]
    return block, at, inside, to_float32(tl.load(x_ptr + at, mask=inside, other=0.0))


@triton.jit
def _fake_quantize(
    x_ptr,
    y_ptr,
    blocks,
    MAX_EXPONENT: tl.constexpr,
    CARRY: tl.constexpr,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    _, at, inside, x = _load(x_ptr, blocks, BLOCKS)
    values, _, scale = quantize_blocks(
        x, MAX_EXPONENT, CARRY, FLOAT, LOW, HIGH, UNIT, SMALLEST, SHIFT
    )
    y = values * scale[:, None]
    tl.store(y_ptr + at, rounded_to(y, y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _quantize(
    x_ptr,
    codes_ptr,
    shared_ptr,
    blocks,
    MAX_EXPONENT: tl.constexpr,
    CARRY: tl.constexpr,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
    MANTISSA: tl.constexpr,
    LOWEST: tl.constexpr,
    TO_MULTIPLES: tl.constexpr,
    MOST_MULTIPLES: tl.constexpr,
    SIGN: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    block, at, inside, x = _load(x_ptr, blocks, BLOCKS)
    values, code, _ = quantize_blocks(
        x, MAX_EXPONENT, CARRY, FLOAT, LOW, HIGH, UNIT, SMALLEST, SHIFT
    )
    values = tl.where((code == 255)[:, None], 0.0, values)
    if FLOAT:  # as `kernels.elements.values.encode`
        magnitude = tl.abs(values)
        fields = magnitude.to(tl.int32, bitcast=True) >> (MANTISSA_BITS - MANTISSA)
        multiples = tl.minimum(magnitude * TO_MULTIPLES, MOST_MULTIPLES).to(tl.int32)
        element = tl.maximum(fields, LOWEST) - LOWEST + multiples
        element += tl.where(values.to(tl.int32, bitcast=True) < 0, SIGN, 0)
    else:
        element = (values * UNIT).to(tl.int32)
    tl.store(codes_ptr + at, element.to(codes_ptr.dtype.element_ty), mask=inside)
    tl.store(shared_ptr + block, code.to(tl.uint8), mask=block < blocks)
