"""What a network's backbone hands to its blocks, so that callers can run the blocks themselves.

The backbone is called once with its blocks taken out; what it would have handed to each (hidden
states to the first, masks, rotary embeddings and positions to all) is kept.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from qcore.models.families import blocks, family_of


def at_the_door(
    model: nn.Module, windows: Int[Tensor, "batch length"]
) -> tuple[Float[Tensor, "batch length width"], list[dict[str, Any]]]:
    """The first block's hidden states and, for every block, its other arguments.

    The arguments hold for any hidden states of as many windows of the same length. Not for two
    threads at once on one network.
    """
    family = family_of(model)
    parent, _, name = family.blocks.rpartition(".")
    holder, real = model.get_submodule(parent), blocks(model)
    recorders = [_Recorder() for _ in real]
    setattr(holder, name, nn.ModuleList(recorders))
    try:
        model.get_submodule(family.backbone)(input_ids=windows, use_cache=False)
    finally:
        setattr(holder, name, real)
    hidden = recorders[0].hidden
    assert hidden is not None
    return hidden, [recorder.arguments for recorder in recorders]


class _Recorder(nn.Module):
    """Stands where a block stood and keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.hidden: Tensor | None = None
        self.arguments: dict[str, Any] = {}

    def forward(self, hidden_states: Tensor, **arguments: Any) -> Tensor:
        self.hidden, self.arguments = hidden_states, arguments
        return hidden_states
