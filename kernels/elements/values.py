"""The values that one element can take before its scale is applied, and rounding to them.

Two families:

- fixed point: codes k in [low, high] stand for k/2^fraction (integers have fraction 0, MXINT8 6);
- minifloats of OCP Microscaling v1.0, §5.3: sign, E exponent bits with bias 2^(E−1) − 1, M mantissa
  bits, subnormals kept. E5M2 gives its top exponent to infinities and NaN; E4M3 only its topmost
  code to NaN; the 6- and 4-bit elements have neither.

`nearest` rounds to the nearest value, ties to the even code, and saturates, infinities included;
NaN stays NaN. A zero keeps the sign of what was rounded to it.

How a minifloat rounds without a table: adding c = 1.5·2^(23+e−M) to a float32 v with exponent e and
taking it away again leaves v rounded, half to even, to a multiple of 2^(e−M), because float32 has
23 mantissa bits. Holding e at the exponent of the smallest normal gives the subnormals.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

FLOAT32_MANTISSA = 23
FLOAT32_BIAS = 127
FLOAT32_EXPONENT_MASK = 0xFF << FLOAT32_MANTISSA
ROUNDERS_MANTISSA = 1 << (FLOAT32_MANTISSA - 1)
"""Mantissa field of 1.5: the half keeps v + c in c's binade whatever the sign of v."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Codes `low` to `high`, each standing for code / 2^fraction."""

    low: int
    high: int
    fraction: int = 0

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest magnitude: ⌊log2⌋ of it."""
        return self.high.bit_length() - 1 - self.fraction


@dataclass(frozen=True, slots=True)
class Minifloat:
    """A sign, `exponent` and `mantissa` bits; see the module's text for the special codes."""

    exponent: int
    mantissa: int

    @property
    def bias(self) -> int:
        """The bias of the exponent field."""
        return (1 << (self.exponent - 1)) - 1

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value (`emax` in the specification)."""
        top = (1 << self.exponent) - 1 - self.bias
        return top - 1 if self == E5M2 else top

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal value, shared by the subnormals."""
        return 1 - self.bias

    @property
    def largest(self) -> float:
        """The largest finite value."""
        steps = (2 << self.mantissa) - (2 if self == E4M3 else 1)
        return steps * 2.0 ** (self.max_exponent - self.mantissa)

    @property
    def sign_bit(self) -> int:
        """The sign's place in a code."""
        return 1 << (self.exponent + self.mantissa)


Element = FixedPoint | Minifloat

E2M1 = Minifloat(2, 1)
E2M3 = Minifloat(2, 3)
E3M2 = Minifloat(3, 2)
E4M3 = Minifloat(4, 3)
E5M2 = Minifloat(5, 2)
MXINT8 = FixedPoint(-127, 127, fraction=6)
"""Symmetric, as OCP MX v1.0 §5.3.4 allows: code −128 is read as −2 but never written."""


def nearest(
    values: Float[Tensor, "..."],
    element: Element,
    zero: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "..."]:
    """The element values nearest to `values`, as float32 of the same shape.

    Args:
        values: float32, already divided by their scale.
        element: what can be represented.
        zero: whole zero points that broadcast against `values`; codes are then value + zero.
    """
    if isinstance(element, Minifloat):
        return _nearest_minifloat(values, element)
    unit = 2.0**element.fraction
    steps = values * unit if element.fraction else values.clone()
    if zero is None:
        steps.clamp_(element.low, element.high)
    else:
        steps = torch.clamp(steps, element.low - zero, element.high - zero)
    steps.round_()  # after the clamp: its bounds are whole, so the order does not matter
    return steps.div_(unit) if element.fraction else steps


def code_dtype(element: Element) -> torch.dtype:
    """int8 where codes can be negative, else uint8."""
    signed = isinstance(element, FixedPoint) and element.low < 0
    return torch.int8 if signed else torch.uint8


def encode(
    values: Float[Tensor, "..."],
    element: Element,
    zero: Float[Tensor, "..."] | None = None,
) -> Integer[Tensor, "..."]:
    """Codes of element values that `nearest` returned: int8, or uint8 where none is negative.

    Minifloat codes are bit patterns in the low bits of a uint8. NaN has no code in general and
    must not come here.
    """
    if isinstance(element, FixedPoint):
        codes = values * 2.0**element.fraction if element.fraction else values
        codes = codes if zero is None else codes + zero
        return codes.to(code_dtype(element))
    # Normal values: float32's own exponent and mantissa fields, cut short. Subnormals: multiples of
    # the smallest. Holding both at 2^M, where they meet, lets their sum serve every value.
    one = 1 << element.mantissa
    lowest = (element.min_exponent + FLOAT32_BIAS) << element.mantissa
    magnitude = values.abs()
    fields = (magnitude.view(torch.int32) >> (FLOAT32_MANTISSA - element.mantissa)).clamp_min_(
        lowest
    )
    multiples = magnitude.mul_(one * 2.0**-element.min_exponent).clamp_(max=one)
    code = (fields.sub_(lowest) + multiples.int()).to(torch.uint8)
    return code.add_(values.signbit().to(torch.uint8), alpha=element.sign_bit)


def decode(
    codes: Integer[Tensor, "..."],
    element: Element,
    zero: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "..."]:
    """Element values of codes, as float32; special codes give their infinities and NaN."""
    if isinstance(element, FixedPoint):
        values = codes.float()
        values = values if zero is None else values - zero
        return values.div_(2.0**element.fraction) if element.fraction else values
    return _minifloat_values(element).to(codes.device)[codes.long()]


def element_values(element: Element) -> Float[Tensor, " values"]:
    """Every finite value once, ascending, as float32; always holds 0."""
    if isinstance(element, FixedPoint):
        codes = torch.arange(element.low, element.high + 1, dtype=torch.float32)
        return codes / 2.0**element.fraction
    values = _minifloat_values(element)
    return values[values.isfinite()].add(0.0).unique()  # −0 + 0 = 0


@functools.cache
def midmax_carry(element: Element) -> int:
    """What added to a float32's bits makes its mantissa carry where `midmax` raises the exponent.

    That is above the middle of the largest value and the least larger one at twice the scale. Found
    from the values themselves, since widths do not tell them all: E4M3 ends at 1.75 · 2^8.
    """
    values = element_values(element).double()
    doubled = values * 2
    middle = (values[-1] + doubled[doubled > values[-1]][0]) / 2
    mantissa = float(middle) / 2.0**element.max_exponent  # from 1 to 2
    return math.ceil((2 - mantissa) * (1 << FLOAT32_MANTISSA)) - 1


def _nearest_minifloat(values: Float[Tensor, "..."], element: Minifloat) -> Float[Tensor, "..."]:
    clipped = values.clamp(-element.largest, element.largest)
    rounder = clipped.view(torch.int32) & FLOAT32_EXPONENT_MASK
    rounder.clamp_min_((element.min_exponent + FLOAT32_BIAS) << FLOAT32_MANTISSA)
    rounder += ((FLOAT32_MANTISSA - element.mantissa) << FLOAT32_MANTISSA) + ROUNDERS_MANTISSA
    shift = rounder.view(torch.float32)
    return ((clipped + shift).sub_(shift)).copysign_(clipped)


def _minifloat_values(element: Minifloat) -> Float[Tensor, " codes"]:
    """The value of every code, in the order of the codes."""
    codes = torch.arange(2 * element.sign_bit)
    field = (codes >> element.mantissa) & ((1 << element.exponent) - 1)
    fraction = (codes & ((1 << element.mantissa) - 1)) / 2**element.mantissa
    normal = (1 + fraction) * 2.0 ** (field - element.bias)
    values = torch.where(field == 0, fraction * 2.0**element.min_exponent, normal)
    if element == E5M2:
        special = torch.where(fraction == 0, torch.inf, torch.nan)
        values = torch.where(field == (1 << element.exponent) - 1, special, values)
    if element == E4M3:
        values[(codes & (element.sign_bit - 1)) == element.sign_bit - 1] = torch.nan
    return torch.where(codes >= element.sign_bit, -values, values).float()
