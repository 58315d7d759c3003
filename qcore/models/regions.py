"""Where rotations and permutations enter a network and where they leave it again, as data.

A *region* is a stretch of the network inside which a tensor may be carried in another basis. Its
producers write x T instead of x (T is fused into their output side), its consumers read x T (the
inverse is fused into their input side), and everything in between commutes with T:

    region                kind         producers              consumers           in between
    residual              rotation     embedding, o, down     q k v gate up head  RMSNorm, +
    B.values              rotation     v_proj                 o_proj              attention
    B.hidden_channels     permutation  gate_proj, up_proj     down_proj           SiLU, ×
    B.attention_output    online       —                      o_proj              nothing
    B.mlp_hidden          online       —                      down_proj           nothing

*What fits.* A norm divides by a length, which rotations keep, once its weights are folded away:
any orthogonal T, of the same width. Attention mixes tokens, not the channels of a value head, so
every value head may have a T of its own; query heads that share it read that T. SiLU acts on each
channel, so only their order may change. Where nothing lies in between, T is computed at run time
in front of the consumer, and may widen the input by zeros (expansion).

The outputs of q_proj and k_proj are no region: RoPE turns pairs of their channels by angles of
their own, and nothing but itself commutes with that.

R1 of the literature is `residual`, R2 `values`, R4 `mlp_hidden`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qcore.models.families import block_sites, blocks, family_of

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["rotation", "permutation", "online"]
Axis = Literal["features", "heads"]


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Widths of a network's tensors.

    Attributes:
        hidden: features of the residual stream.
        intermediate: channels between up_proj and down_proj.
        heads: query heads.
        kv_heads: value heads; query head h reads value head h // (heads / kv_heads).
        head_dim: channels of a head.
        blocks: decoder blocks.
    """

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    blocks: int

    @property
    def sharing(self) -> int:
        """Query heads that read one value head."""
        return self.heads // self.kv_heads

    @property
    def attention(self) -> int:
        """Channels at o_proj's input."""
        return self.heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of the network that can be carried in another basis.

    Attributes:
        name: `residual`, or the block and the place: `3.values`.
        producers: module paths whose outputs come out transformed; none where it enters at run
            time.
        consumers: module paths whose inputs arrive transformed.
        axis: what one transform acts on: all features, or the channels of one head.
        kind: what may be done there: any orthogonal matrix fused into weights, a permutation fused
            into weights, or an orthogonal matrix, expanding or not, computed at run time.
        width: features that one transform acts on.
        block: decoder block, from 0; None for the region that spans all.
    """

    name: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    axis: Axis
    kind: Kind
    width: int
    block: int | None = None

    @property
    def place(self) -> str:
        """The name without the block."""
        return self.name.rpartition(".")[2]


def dimensions(model: nn.Module) -> Dimensions:
    """The widths of a network, transformed or not."""
    config: Any = model.config
    attention_input, _, mlp_input, _ = block_sites(model, 0)
    values: Any = model.get_submodule(attention_input.linears[2].path)
    gate: Any = model.get_submodule(mlp_input.linears[0].path)
    kv_heads = int(config.num_key_value_heads)
    return Dimensions(
        hidden=int(config.hidden_size),
        intermediate=int(gate.out_features),
        heads=int(config.num_attention_heads),
        kv_heads=kv_heads,
        head_dim=int(values.out_features) // kv_heads,
        blocks=len(blocks(model)),
    )


def regions(model: nn.Module) -> list[Region]:
    """Every region: the residual stream, then four to a block.

    Along a consumer's input they stand in the order in which they apply: what is fused upstream
    comes before what is computed online.
    """
    size = dimensions(model)
    found = [_residual(model, size)]
    for block in range(size.blocks):
        found += _block_regions(model, block, size)
    return found


def _residual(model: nn.Module, size: Dimensions) -> Region:
    family = family_of(model)
    producers, consumers = [family.embedding], []
    for block in range(size.blocks):
        attention_input, attention_output, mlp_input, mlp_hidden = block_sites(model, block)
        consumers += [item.path for item in (*attention_input.linears, *mlp_input.linears)]
        producers += [item.path for item in (*attention_output.linears, *mlp_hidden.linears)]
    consumers.append(family.head)
    return Region(
        "residual", tuple(producers), tuple(consumers), "features", "rotation", size.hidden
    )


def _block_regions(model: nn.Module, block: int, size: Dimensions) -> list[Region]:
    attention_input, attention_output, mlp_input, mlp_hidden = block_sites(model, block)
    values = (attention_input.linears[2].path,)
    o_proj = tuple(item.path for item in attention_output.linears)
    gate_up = tuple(item.path for item in mlp_input.linears)
    down = tuple(item.path for item in mlp_hidden.linears)

    def region(place: str, producers: tuple[str, ...], consumers: tuple[str, ...], *rest: Any):
        return Region(f"{block}.{place}", producers, consumers, *rest, block=block)

    return [
        region("values", values, o_proj, "heads", "rotation", size.head_dim),
        region("hidden_channels", gate_up, down, "features", "permutation", size.intermediate),
        region("attention_output", (), o_proj, "features", "online", size.attention),
        region("mlp_hidden", (), down, "features", "online", size.intermediate),
    ]
