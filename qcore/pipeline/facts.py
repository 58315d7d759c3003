"""What the load stage keeps of a network: its sizes. Known without loading it ever after."""

from __future__ import annotations

from dataclasses import dataclass

from qcore.models.regions import Dimensions


@dataclass(frozen=True, slots=True)
class Facts:
    """Sizes of an untouched network.

    Attributes:
        size: its widths.
        parameters: all, tied ones once.
        linear_parameters: those in the linears of its decoder blocks.
        tied_parameters: those that the embedding and the head share.
    """

    size: Dimensions
    parameters: int
    linear_parameters: int
    tied_parameters: int

    @property
    def blocks(self) -> int:
        """Decoder blocks."""
        return self.size.blocks
