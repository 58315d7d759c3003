"""Round to the values of an element inside triton kernels: the twin of `kernels.elements.values`.

Functions here are parts of kernels; they take float32 blocks of any shape. `constants` turns an
Element into the compile-time numbers that they want. Results equal the reference's bit for bit, the
sign of zeros included: the same additions in the same order, no division and nothing to contract
into a fused multiply-add.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.dispatch import interpreted
from kernels.elements.values import (
    FLOAT32_BIAS,
    FLOAT32_MANTISSA,
    ROUNDERS_MANTISSA,
    Element,
    Minifloat,
)

INTERPRETED = tl.constexpr(interpreted())
EXPONENT_MASK = tl.constexpr(0x7F800000)
MAGNITUDE_MASK = tl.constexpr(0x7FFFFFFF)
SIGN_MASK = tl.constexpr(-0x80000000)
WHOLE = tl.constexpr(1.5 * 2**FLOAT32_MANTISSA)


def constants(element: Element) -> dict[str, float | int | bool]:
    """The compile-time arguments of `nearest_value`.

    FLOAT: a minifloat; LOW, HIGH: its range in steps; UNIT: steps in 1 (fixed point only);
    SMALLEST: the exponent field of the smallest normal and SHIFT: what lifts an exponent field to
    the rounder's (minifloats only, see `kernels.elements.values`).
    """
    if isinstance(element, Minifloat):
        return {
            "FLOAT": True,
            "LOW": -element.largest,
            "HIGH": element.largest,
            "UNIT": 1.0,
            "SMALLEST": (element.min_exponent + FLOAT32_BIAS) << FLOAT32_MANTISSA,
            "SHIFT": ((FLOAT32_MANTISSA - element.mantissa) << FLOAT32_MANTISSA)
            + ROUNDERS_MANTISSA,
        }
    return {
        "FLOAT": False,
        "LOW": float(element.low),
        "HIGH": float(element.high),
        "UNIT": 2.0**element.fraction,
        "SMALLEST": 0,
        "SHIFT": 0,
    }


@triton.jit
def to_float32(x):
    """`x` in float32, subnormals included."""
    if x.dtype == tl.bfloat16:  # by its bits, as the hardware does: the interpreter gets some wrong
        y = (x.to(tl.int16, bitcast=True).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        y = x.to(tl.float32)
    return y


@triton.jit
def rounded_to(y, DTYPE: tl.constexpr):
    """Float32 `y` in another type, half to even."""
    if INTERPRETED and tl.bfloat16 == DTYPE:  # the interpreter would cut the last bits off
        bits = y.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        bits = tl.where(y == y, bits, 0x7FC0)
        z = bits.to(tl.int16).to(tl.bfloat16, bitcast=True)
    else:
        z = y.to(DTYPE)
    return z


@triton.jit
def clip(v, low, high):
    """`v` held in [low, high]; NaN stays NaN."""
    v = tl.maximum(v, low, propagate_nan=tl.PropagateNan.ALL)
    return tl.minimum(v, high, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def with_sign(magnitude, signed):
    """`magnitude` with the sign of `signed`, both float32."""
    bits = magnitude.to(tl.int32, bitcast=True) & MAGNITUDE_MASK
    bits = bits | (signed.to(tl.int32, bitcast=True) & SIGN_MASK)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def whole(v):
    """The nearest whole number, half to even, for |v| < 2^22; a zero keeps the sign of `v`."""
    return with_sign((v + WHOLE) - WHOLE, v)


@triton.jit
def nearest_value(
    v,
    zero,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
):
    """The element values nearest to `v`; `zero` are whole zero points, 0.0 where there are none."""
    if FLOAT:
        clipped = clip(v, LOW, HIGH)
        exponent = clipped.to(tl.int32, bitcast=True) & EXPONENT_MASK
        rounder = (tl.maximum(exponent, SMALLEST) + SHIFT).to(tl.float32, bitcast=True)
        nearest = with_sign((clipped + rounder) - rounder, clipped)
    else:
        nearest = whole(clip(v * UNIT, LOW - zero, HIGH - zero)) * (1.0 / UNIT)
    return nearest


@triton.jit
def magnitude_bits(v):
    """|v| as the integer that orders alike; NaN and infinities are `EXPONENT_MASK` or more."""
    return v.to(tl.int32, bitcast=True) & MAGNITUDE_MASK


@triton.jit
def exact_dot(x, matrix):
    """The product of two blocks of one type, summed in float32; 16-bit products are exact."""
    if INTERPRETED:  # it takes bfloat16 for integers
        y = tl.dot(to_float32(x), to_float32(matrix), input_precision="ieee")
    else:
        y = tl.dot(x, matrix, input_precision="ieee")
    return y
