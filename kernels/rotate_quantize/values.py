"""How the fused rotation rounds: dynamic integers or OCP microscaling blocks, as values."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kernels.dispatch import Implementation
from kernels.elements.values import Element, FixedPoint
from kernels.hadamard.plan import LEAST, tile_blocks
from kernels.integer.operation import fake_quantize_integer, integer_element
from kernels.microscaling.operation import fake_quantize_microscaling
from kernels.microscaling.values import BLOCK, ScaleRule
from kernels.tiles import ELEMENTS, power_of_two


@dataclass(frozen=True, slots=True)
class Integer:
    """Dynamic integers of `bits` bits; `group` features share a scale, None is the whole token."""

    bits: int
    symmetric: bool
    group: int | None = None

    @property
    def element(self) -> FixedPoint:
        """The codes that it rounds to."""
        return integer_element(self.bits, symmetric=self.symmetric)

    def apply(
        self, x: Float[Tensor, "... width"], *, implementation: Implementation | None = None
    ) -> Float[Tensor, "... width"]:
        """Quantize `x` and dequantize it."""
        return fake_quantize_integer(
            x, self.bits, symmetric=self.symmetric, group=self.group, implementation=implementation
        )


@dataclass(frozen=True, slots=True)
class Microscaling:
    """Blocks of 32 elements with a shared power of two."""

    element: Element
    rule: ScaleRule = "floor"

    @property
    def group(self) -> int:
        """Features that share a scale."""
        return BLOCK

    def apply(
        self, x: Float[Tensor, "... width"], *, implementation: Implementation | None = None
    ) -> Float[Tensor, "... width"]:
        """Quantize `x` and dequantize it."""
        return fake_quantize_microscaling(
            x, self.element, rule=self.rule, implementation=implementation
        )


Quantizer = Integer | Microscaling


def tile_rows(block: int, order: int, group: int | None) -> int:
    """Rows of the twin's product in one tile: whole tokens where those share a scale."""
    if group is not None:
        return tile_blocks(block)
    return max(padded_blocks(order // block), ELEMENTS // power_of_two(max(LEAST, block)))


def padded_blocks(blocks: int) -> int:
    """Rows of the twin's product that hold one token."""
    return power_of_two(max(LEAST, blocks))
