"""The layers among which a bit budget is divided, by name and size alone.

No network is needed to divide a budget, so pages do it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcore.models.families import linear_module, linears
from qcore.models.family import BLOCK_SITES

if TYPE_CHECKING:
    from torch import nn

SITE_OF = {path.rsplit(".", 1)[1]: site.name for site in BLOCK_SITES for path in site.linears}
"""From a projection to the input site that it reads; projections of one site can be fused."""


@dataclass(frozen=True, slots=True)
class LayerSize:
    """One linear layer.

    Attributes:
        name: what reports call it: `3.mlp.down_proj`.
        block: decoder block, from 0.
        projection: `q_proj`, …, `down_proj`.
        inputs: width of its input, expanded where the network is.
        outputs: rows of its weight.
    """

    name: str
    block: int
    projection: str
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return self.inputs * self.outputs

    @property
    def site(self) -> tuple[int, str]:
        """Its block and the input site that it reads there: layers of one site share a tensor."""
        return self.block, SITE_OF.get(self.projection, self.projection)


def layer_sizes(model: nn.Module) -> tuple[LayerSize, ...]:
    """Every linear of every decoder block, in execution order, as the network is now."""
    found = []
    for linear in linears(model):
        outputs, inputs = linear_module(model, linear).weight.shape
        found.append(LayerSize(linear.name, linear.block, linear.projection, inputs, outputs))
    return tuple(found)
