"""A Format is a value: how one number is coded, and which numbers share a scale.

Two kinds:

- `int`: a code k stands for s·(k − z). Symmetric formats have z = 0 and the full two's-complement
  range [−2^(b−1), 2^(b−1) − 1]; asymmetric ones have codes [0, 2^b − 1] and a rounded integer z.
  Weights: one scale per output channel (`group = None`) or per `group` consecutive inputs.
  Activations: one scale per token, or per `group` consecutive features of a token.
- `mx`: OCP Microscaling v1.0. Blocks of 32 share one power-of-two scale (E8M0); the elements are
  minifloats (E4M3, E5M2, E3M2, E2M3, E2M1) or, for MXINT8, fixed-point fractions of 64.

Bits are counted honestly: elements, scales and zero points (`bits_per_weight`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Literal

from qcore.errors import InvalidRecipe

Kind = Literal["int", "mx"]
ScaleRounding = Literal["floor", "midmax"]
ScaleType = Literal["float16", "bfloat16", "float32"]

MX_BLOCK = 32
SCALE_BITS: dict[ScaleType, int] = {"float16": 16, "bfloat16": 16, "float32": 32}
"""What a float scale is counted as: what holds it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A number format: how numbers are coded, and what that costs.

    Attributes:
        name: the field's name, lower case: `int4`, `int4_asym`, `mxfp4`, `mxfp6_e2m3`.
        kind: `int` or `mx`.
        bits: bits per element, scales not counted.
        exponent: exponent bits of a minifloat element; 0 for integers.
        mantissa: mantissa bits of a minifloat element; 0 for integers.
        symmetric: an integer format without zero points.
        group: consecutive elements along the input axis that share a scale; None means the whole
            channel (weights) or the whole token (activations).
        scale_rounding: how an MX block's shared exponent is chosen.
        scale_type: what holds an INT format's scale; of weights, since no input's scale is kept.
    """

    name: str
    kind: Kind
    bits: int
    exponent: int = 0
    mantissa: int = 0
    symmetric: bool = True
    group: int | None = None
    scale_rounding: ScaleRounding = "floor"
    scale_type: ScaleType = "float16"

    @property
    def is_float(self) -> bool:
        """Whether elements are minifloats (as opposed to integers or MXINT8's fixed point)."""
        return self.exponent > 0

    @property
    def low(self) -> int:
        """Smallest integer code; meaningful for integer elements only."""
        return -(1 << (self.bits - 1)) if self.symmetric else 0

    @property
    def high(self) -> int:
        """Largest integer code; meaningful for integer elements only."""
        return (1 << (self.bits - 1)) - 1 if self.symmetric else (1 << self.bits) - 1

    @property
    def scale_bits(self) -> int:
        """Bits of one shared scale: 8 for E8M0, an INT format's float as it is stored."""
        return 8 if self.kind == "mx" else SCALE_BITS[self.scale_type]

    @property
    def zero_bits(self) -> int:
        """Bits of one zero point: as wide as a code where there is one."""
        return 0 if self.symmetric else self.bits

    def groups(self, width: int) -> int:
        """How many scales a row of `width` elements has.

        Raises:
            InvalidRecipe: the group does not divide `width`.
        """
        if self.group is None:
            return 1
        if width % self.group:
            fitting = [g for g in (16, 32, 64, 128, 256, 512) if width % g == 0]
            choices = f"choose {', '.join(map(str, fitting))}" if fitting else "leave the group out"
            raise InvalidRecipe(
                f"group {self.group} of {self.name} does not divide {width}",
                remedy=choices
                if self.kind == "int"
                else "choose an INT format, whose group is free",
            )
        return width // self.group

    def bits_per_weight(self, width: int) -> float:
        """Bits per element of a row of `width` elements, scales and zero points included."""
        return self.bits + self.groups(width) * (self.scale_bits + self.zero_bits) / width

    def with_group(self, group: int | None) -> Format:
        """The same format with another group.

        Raises:
            InvalidRecipe: an MX format's block is fixed at 32, and a group is at least 2.
        """
        if self.kind == "mx" and group not in (None, MX_BLOCK):
            raise InvalidRecipe(
                f"group {group} contradicts {self.name}, whose block is {MX_BLOCK}",
                remedy="leave the group out",
            )
        if group is not None and group < 2:
            raise InvalidRecipe(
                f"group {group} is less than 2",
                remedy="choose one that divides the layers' widths, such as 32, or leave it out",
            )
        return self if self.kind == "mx" or self.group == group else replace(self, group=group)

    def with_scale_rounding(self, rule: ScaleRounding) -> Format:
        """The same MX format with another rule for the shared exponent; INT formats have none."""
        same = self.kind != "mx" or self.scale_rounding == rule
        return self if same else replace(self, scale_rounding=rule)

    def with_scale_type(self, kind: ScaleType) -> Format:
        """The same INT format with scales of another type; MX formats have powers of two."""
        same = self.kind != "int" or self.scale_type == kind
        return self if same else replace(self, scale_type=kind)


def _integer(bits: int, *, symmetric: bool) -> Format:
    name = f"int{bits}" if symmetric else f"int{bits}_asym"
    return Format(name, "int", bits, symmetric=symmetric)


def _minifloat(name: str, exponent: int, mantissa: int) -> Format:
    return Format(name, "mx", 1 + exponent + mantissa, exponent, mantissa, group=MX_BLOCK)


FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        *(_integer(bits, symmetric=True) for bits in range(2, 9)),
        *(_integer(bits, symmetric=False) for bits in range(2, 9)),
        _minifloat("mxfp4", 2, 1),
        _minifloat("mxfp6_e2m3", 2, 3),
        _minifloat("mxfp6_e3m2", 3, 2),
        _minifloat("mxfp8_e4m3", 4, 3),
        _minifloat("mxfp8_e5m2", 5, 2),
        Format("mxint8", "mx", 8, group=MX_BLOCK),
    )
}
"""Every format by name, ungrouped where the group is free."""


@functools.lru_cache(maxsize=1024)
def named(name: str, group: int | None = None) -> Format:
    """The format called `name`, with `group` elements to a scale.

    Raises:
        InvalidRecipe: no such format, or a group that it cannot have.
    """
    if name not in FORMATS:
        raise InvalidRecipe(
            f"unknown format {name!r}", remedy=f"choose one of {', '.join(FORMATS)}"
        )
    return FORMATS[name].with_group(group)
