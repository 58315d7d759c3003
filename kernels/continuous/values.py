"""Minifloats of continuous width as values: exponent and mantissa bits, their limits, slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.elements.values import FLOAT32_MANTISSA
from kernels.microscaling.values import ScaleRule
from qcore.errors import KernelError

LARGEST = 448.0
"""Of E4M3, whose topmost code is NaN; wider exponents are held there too."""

MAX_EXPONENT = 4.0


@dataclass(frozen=True, slots=True)
class Widths:
    """Exponent bits E and mantissa bits M, and the constants that follow from them.

    Raises:
        KernelError: E outside [1, 4], or M outside [0, 10].
    """

    exponent: float
    mantissa: float

    def __post_init__(self):
        if not 1 <= self.exponent <= MAX_EXPONENT:
            raise KernelError(
                f"{self.exponent:g} exponent bits are not between 1 and 4",
                remedy="keep widths within both bounds",
            )
        if not 0 <= self.mantissa <= 10:
            raise KernelError(
                f"{self.mantissa:g} mantissa bits are not between 0 and 10",
                remedy="keep widths within both bounds",
            )

    @property
    def max_exponent(self) -> float:
        """Exponent of the largest value: emax."""
        return 2.0 ** (self.exponent - 1)

    @property
    def smallest(self) -> float:
        """The smallest normal value, 2^(1 − bias)."""
        return 2.0 ** (2 - 2.0 ** (self.exponent - 1))

    @property
    def unit(self) -> float:
        """Step of the binade from 1 to 2."""
        return 2.0**-self.mantissa

    @property
    def capped(self) -> bool:
        """Whether the largest value is held at 448."""
        return 2.0**self.max_exponent * (2 - self.unit) > LARGEST

    @property
    def largest(self) -> float:
        """The largest value."""
        return min(2.0**self.max_exponent * (2 - self.unit), LARGEST)

    @property
    def whole(self) -> int:
        """Binary places by which the scale lies below the largest magnitude's power of two: ⌈emax⌉.

        What that is too much is made up for by `stretch`.
        """
        return math.ceil(self.max_exponent)

    @property
    def stretch(self) -> float:
        """The scale over a power of two: 2^(⌈emax⌉ − emax), 1 at whole emax."""
        return 2.0 ** (self.whole - self.max_exponent)

    def carry(self, rule: ScaleRule) -> int:
        """The summand that carries a float32's mantissa where the rule rounds up."""
        if rule == "floor":
            return 0
        if not self.capped:
            return math.ceil(2.0 ** (FLOAT32_MANTISSA - 1 - self.mantissa)) - 1
        middle = LARGEST / 2.0**self.max_exponent + self.unit / 2
        return math.ceil((2 - middle) * (1 << FLOAT32_MANTISSA)) - 1


class Slopes(NamedTuple):
    """Sums over a tensor, with g the gradient that arrives at x̂; float64 scalars.

    Attributes:
        rounding: Σ g (x − x̂) over what was not clipped.
        subnormal: the same over the subnormals among them.
        clipping: Σ ±g s over what was clipped.
    """

    rounding: Float[Tensor, ""]
    subnormal: Float[Tensor, ""]
    clipping: Float[Tensor, ""]

    def by_width(self, widths: Widths) -> Float[Tensor, "2"]:
        """Gradient with respect to (E, M), float32: the zones of the module's text, summed."""
        log2 = math.log(2)
        by_exponent = log2 * log2 * 2**widths.exponent * self.subnormal
        by_mantissa = log2 * self.rounding
        if widths.capped:
            by_exponent = by_exponent - log2 * log2 * widths.max_exponent * LARGEST * self.clipping
        else:
            level = 2.0**widths.max_exponent * widths.unit
            by_mantissa = by_mantissa + log2 * level * self.clipping
        return torch.stack((by_exponent, by_mantissa)).float()
