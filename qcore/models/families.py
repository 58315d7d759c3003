"""Every supported family, as data; and the parts of a network by their names.

The table of docs/checkpoints.md is made from `FAMILIES`; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from qcore.errors import UnsupportedModel
from qcore.models.family import ATTENTION, Family, SiteShape, block_sites_with
from qcore.models.prequantized import refuse_by_config

if TYPE_CHECKING:  # names are asked for before any network is loaded
    from torch import nn

_QK_NORMS = ("self_attn.q_norm", "self_attn.k_norm")
_AROUND = ("post_attention_layernorm", "post_feedforward_layernorm")
_GEMMA = ("query_pre_attn_scalar", "use_bidirectional_attention", "hidden_activation")
_CAPS = ("attn_logit_softcapping", "final_logit_softcapping")

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("Llama", "llama", "LlamaForCausalLM"),
        Family(
            "Qwen2",
            "qwen2",
            "Qwen2ForCausalLM",
            biases=("q_proj", "k_proj", "v_proj"),
            bias_keys={},
            switches_sliding=True,
        ),
        Family(
            "Qwen3",
            "qwen3",
            "Qwen3ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            head_norms=_QK_NORMS,
            defaults={"head_dim": 128},
            switches_sliding=True,
        ),
        Family("Mistral", "mistral", "MistralForCausalLM", bias_keys={}),
        Family("Ministral", "ministral", "MinistralForCausalLM", bias_keys={}),
        Family("Ministral 3", "ministral3", "Ministral3ForCausalLM", bias_keys={}),
        Family(
            "SmolLM3",
            "smollm3",
            "SmolLM3ForCausalLM",
            defaults={"tie_word_embeddings": True},
            config_keys=("no_rope_layers", "no_rope_layer_interval"),
            switches_sliding=True,
        ),
        Family(
            "Granite",
            "granite",
            "GraniteForCausalLM",
            config_keys=(
                "embedding_multiplier",
                "attention_multiplier",
                "residual_multiplier",
                "logits_scaling",
            ),
        ),
        Family(
            "Seed-OSS",
            "seed_oss",
            "SeedOssForCausalLM",
            bias_keys={
                "attention_bias": ATTENTION[:3],
                "attention_out_bias": ATTENTION[3:],
                "mlp_bias": ("gate_proj", "up_proj", "down_proj"),
            },
            defaults={"head_dim": 128, "attention_bias": True},
            config_keys=("attention_out_bias",),
        ),
        Family(
            "Helium",
            "helium",
            "HeliumForCausalLM",
            bias_keys={
                "attention_bias": ATTENTION[:3],
                "mlp_bias": ("gate_proj", "up_proj", "down_proj"),
            },
            defaults={"head_dim": 128},
        ),
        Family(
            "ERNIE 4.5",
            "ernie4_5",
            "Ernie4_5ForCausalLM",
            bias_keys={"use_bias": (*ATTENTION, "gate_proj", "up_proj", "down_proj")},
            defaults={"head_dim": 128, "tie_word_embeddings": True},
            config_keys=("use_bias",),
        ),
        Family(
            "Hunyuan",
            "hunyuan_v1_dense",
            "HunYuanDenseV1ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            head_norms=("self_attn.query_layernorm", "self_attn.key_layernorm"),
        ),
        Family(
            "Gemma",
            "gemma",
            "GemmaForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            unit_gain=True,
            defaults={"head_dim": 256, "tie_word_embeddings": True},
            config_keys=("use_bidirectional_attention",),
        ),
        Family(
            "Gemma 2",
            "gemma2",
            "Gemma2ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            closing_norms=_AROUND,
            unit_gain=True,
            defaults={"head_dim": 256, "tie_word_embeddings": True, _CAPS[1]: 30.0},
            config_keys=(*_GEMMA, *_CAPS),
            fused_attention=False,
            sites=block_sites_with(mlp_norm="pre_feedforward_layernorm"),
        ),
        Family(
            "Gemma 3 (text)",
            "gemma3_text",
            "Gemma3ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            head_norms=_QK_NORMS,
            closing_norms=_AROUND,
            unit_gain=True,
            defaults={"head_dim": 256, "tie_word_embeddings": True},
            config_keys=(*_GEMMA, *_CAPS, "rope_local_base_freq", "sliding_window_pattern"),
            sites=block_sites_with(mlp_norm="pre_feedforward_layernorm"),
        ),
        Family(
            "OLMo 2",
            "olmo2",
            "Olmo2ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            head_norms=_QK_NORMS,
            norm_of_all_heads=True,
            closing_norms=_AROUND,
            sites=block_sites_with(None, None),
        ),
        Family(
            "OLMo 3",
            "olmo3",
            "Olmo3ForCausalLM",
            bias_keys={"attention_bias": ATTENTION},
            head_norms=_QK_NORMS,
            norm_of_all_heads=True,
            closing_norms=_AROUND,
            sites=block_sites_with(None, None),
        ),
    )
}
"""Every supported family by its `model_type`."""

SUPPORTED = ", ".join(family.name for family in FAMILIES.values())
"""Their names, for messages."""


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


def require_rotatable(family: Family) -> None:
    """Refuse families whose residual stream cannot be carried in another basis.

    Raises:
        UnsupportedModel: norms stand between branches and the residual stream.
    """
    if not family.rotates_residual:
        raise UnsupportedModel(
            f"{family.name} has norms behind o_proj and down_proj "
            f"({', '.join(family.closing_norms)}), which no rotation of the residual stream (R1) "
            "can pass",
            remedy="set the rotation's r1 to false; R2, R4 and o_proj's rotation are exact there",
        )


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
