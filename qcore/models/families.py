"""What the parts of a network are called, family by family, as data.

The three families share one decoder block; they differ in biases and in head norms:

    x ─ input_layernorm ─┬─ q_proj ─ (q_norm) ─ RoPE ─┐
                         ├─ k_proj ─ (k_norm) ─ RoPE ─┼─ attention ─ o_proj ─ + x
                         └─ v_proj ───────────────────┘
    x ─ post_attention_layernorm ─┬─ gate_proj ─ SiLU ─┐
                                  └─ up_proj ──────────┴─ × ─ down_proj ─ + x

An *input site* is a tensor that one or more linears read. A block has four, in execution order:

    attention_input    q_proj, k_proj, v_proj    written by input_layernorm
    attention_output   o_proj                    attention, heads side by side
    mlp_input          gate_proj, up_proj        written by post_attention_layernorm
    mlp_hidden         down_proj                 SiLU(gate) × up

Everything that is known about inputs (second moments, sketches, quantizers) belongs to a site, so
that linears which share a tensor share it by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from qcore.errors import UnsupportedModel
from qcore.models.prequantized import refuse_by_config

if TYPE_CHECKING:  # names are asked for before any network is loaded
    from torch import nn


@dataclass(frozen=True, slots=True)
class SiteShape:
    """One of the four input sites of a decoder block, as paths inside the block.

    Attributes:
        name: `attention_input`, `attention_output`, `mlp_input` or `mlp_hidden`.
        linears: paths of the linears that read it, first executed first.
        producer: path of the norm that writes it; None when arithmetic between modules does.
    """

    name: str
    linears: tuple[str, ...]
    producer: str | None = None


BLOCK_SITES = (
    SiteShape(
        "attention_input",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "input_layernorm",
    ),
    SiteShape("attention_output", ("self_attn.o_proj",)),
    SiteShape("mlp_input", ("mlp.gate_proj", "mlp.up_proj"), "post_attention_layernorm"),
    SiteShape("mlp_hidden", ("mlp.down_proj",)),
)
SITES = tuple(site.name for site in BLOCK_SITES)


@dataclass(frozen=True, slots=True)
class Family:
    """Names of one architecture's parts.

    Attributes:
        name: for people and reports.
        model_type: `model_type` in config.json.
        architecture: the causal language model's class in `architectures` of config.json.
        biases: projections that carry a bias in this family's usual checkpoints.
        head_norms: paths, inside a block, of norms between a projection and RoPE.
        backbone: path of the module that runs the blocks.
        blocks: path of the list of decoder blocks.
        embedding: path of the token embedding.
        final_norm: path of the norm before the head.
        head: path of the output projection.
        sites: the block's input sites in execution order.
    """

    name: str
    model_type: str
    architecture: str
    biases: tuple[str, ...] = ()
    head_norms: tuple[str, ...] = ()
    backbone: str = "model"
    blocks: str = "model.layers"
    embedding: str = "model.embed_tokens"
    final_norm: str = "model.norm"
    head: str = "lm_head"
    sites: tuple[SiteShape, ...] = BLOCK_SITES


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("Llama", "llama", "LlamaForCausalLM"),
        Family("Qwen2", "qwen2", "Qwen2ForCausalLM", biases=("q_proj", "k_proj", "v_proj")),
        Family(
            "Qwen3",
            "qwen3",
            "Qwen3ForCausalLM",
            head_norms=("self_attn.q_norm", "self_attn.k_norm"),
        ),
    )
}
"""Every supported family by its `model_type`."""

SUPPORTED = "Llama (SmolLM2 too), Qwen2, Qwen2.5 and Qwen3"


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer of a decoder block.

    Attributes:
        name: what reports call it: `3.self_attn.q_proj`.
        block: decoder block, from 0.
        projection: `q_proj`, …, `down_proj`.
        site: the input site that it reads.
        path: module path in the whole model: `model.layers.3.self_attn.q_proj`.
    """

    name: str
    block: int
    projection: str
    site: str
    path: str


@dataclass(frozen=True, slots=True)
class Site:
    """One input site of one decoder block.

    Attributes:
        name: `attention_input`, `attention_output`, `mlp_input` or `mlp_hidden`.
        block: decoder block, from 0.
        linears: who reads it, first executed first.
        producer: module path, in the whole model, of the norm that writes it, or None.
    """

    name: str
    block: int
    linears: tuple[Linear, ...]
    producer: str | None

    @property
    def title(self) -> str:
        """Block and name, for messages."""
        return f"{self.block}.{self.name}"


def family_of_config(config: Mapping[str, Any]) -> Family:
    """The family that a parsed config.json belongs to.

    Raises:
        UnsupportedModel: another architecture, another head than language modelling, or weights
            that are quantized already.
    """
    model_type = config.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise UnsupportedModel(
            f"architecture {str(model_type)[:60]!r} is unknown",
            remedy=f"choose a model of a supported family: {SUPPORTED}",
        )
    architectures = config.get("architectures") or [family.architecture]
    if not isinstance(architectures, list):
        architectures = [architectures]
    if family.architecture not in architectures:
        raise UnsupportedModel(
            f"the checkpoint holds a {str(architectures[0])[:60]}, not a language model",
            remedy=f"choose a {family.architecture} checkpoint",
        )
    refuse_by_config(config)
    return family


def family_of(model: nn.Module) -> Family:
    """The family of a loaded model. Raises UnsupportedModel as `family_of_config`."""
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type not in FAMILIES:
        raise UnsupportedModel(
            f"architecture {str(model_type or type(model).__name__)[:60]!r} is unknown",
            remedy=f"choose a model of a supported family: {SUPPORTED}",
        )
    return FAMILIES[model_type]


def blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks."""
    return cast("nn.ModuleList", model.get_submodule(family_of(model).blocks))


def sites(model: nn.Module) -> list[Site]:
    """Every input site, in execution order: four to a block."""
    family = family_of(model)
    return [
        _site(family, shape, block) for block in range(len(blocks(model))) for shape in family.sites
    ]


def block_sites(model: nn.Module, block: int) -> list[Site]:
    """The four input sites of one block, in execution order."""
    family = family_of(model)
    return [_site(family, shape, block) for shape in family.sites]


def linears(model: nn.Module) -> list[Linear]:
    """Every linear of every decoder block, in execution order: seven to a block."""
    return [linear for site in sites(model) for linear in site.linears]


def linear_module(model: nn.Module, linear: Linear) -> nn.Linear:
    """The module behind a `Linear`."""
    return cast("nn.Linear", model.get_submodule(linear.path))


def _site(family: Family, shape: SiteShape, block: int) -> Site:
    prefix = f"{family.blocks}.{block}"
    return Site(
        name=shape.name,
        block=block,
        linears=tuple(
            Linear(
                name=f"{block}.{path}",
                block=block,
                projection=path.rsplit(".", 1)[1],
                site=shape.name,
                path=f"{prefix}.{path}",
            )
            for path in shape.linears
        ),
        producer=None if shape.producer is None else f"{prefix}.{shape.producer}",
    )
