"""What distinguishes one architecture from another, as a value.

Every supported decoder block has the same seven linears at the same places:

    x ─ norm ─┬─ q_proj ─ (head norm) ─ RoPE ─┐
              ├─ k_proj ─ (head norm) ─ RoPE ─┼─ attention ─ o_proj ─ (closing norm) ─ + x
              └─ v_proj ──────────────────────┘
    x ─ norm ─┬─ gate_proj ─ activation ─┐
              └─ up_proj ────────────────┴─ × ─ down_proj ─ (closing norm) ─ + x

Families differ in biases, in norms of heads, in where norms stand and what they multiply by, in a
few scalars, and in what config.json leaves out.

An *input site* is a tensor that one or more linears read. A block has four, in execution order:

    attention_input    q_proj, k_proj, v_proj    written by a norm, or the residual stream itself
    attention_output   o_proj                    attention, heads side by side
    mlp_input          gate_proj, up_proj        written by a norm, or the residual stream itself
    mlp_hidden         down_proj                 activation(gate) × up

Everything that is known about inputs (second moments, sketches, quantizers) belongs to a site, so
that linears which share a tensor share it by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
BIAS_KEYS = {"attention_bias": ATTENTION, "mlp_bias": MLP}
"""Keys of config.json that give projections a bias, in most families."""


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


def block_sites_with(
    attention_norm: str | None = "input_layernorm",
    mlp_norm: str | None = "post_attention_layernorm",
) -> tuple[SiteShape, ...]:
    """The four sites of a block with norms of these names before attention and MLP, or none."""
    return (
        SiteShape(
            "attention_input", tuple(f"self_attn.{name}" for name in ATTENTION[:3]), attention_norm
        ),
        SiteShape("attention_output", ("self_attn.o_proj",)),
        SiteShape("mlp_input", ("mlp.gate_proj", "mlp.up_proj"), mlp_norm),
        SiteShape("mlp_hidden", ("mlp.down_proj",)),
    )


BLOCK_SITES = block_sites_with()
SITES = tuple(site.name for site in BLOCK_SITES)


@dataclass(frozen=True, slots=True)
class Family:
    """Names of one architecture's parts, and what config.json says about them.

    Attributes:
        name: for people and reports.
        model_type: `model_type` in config.json.
        architecture: the causal language model's class in `architectures` of config.json.
        biases: projections that carry a bias whatever config.json says.
        bias_keys: key of config.json → projections that carry a bias where it is true.
        head_norms: paths, inside a block, of norms between a projection and RoPE.
        norm_of_all_heads: whether a head norm spans all heads; else it is one head wide, shared.
        closing_norms: paths, inside a block, of norms between o_proj or down_proj and the residual
            stream. They divide by the length of what a branch gives, gains apart channel by
            channel, so no rotation of the residual stream can pass them.
        unit_gain: whether a norm multiplies by 1 + w instead of w.
        defaults: what config.json may leave out and the architecture then assumes; a `head_dim`
            that is None or not named means hidden features over heads.
        config_keys: keys that this architecture reads beyond those that all do.
        switches_sliding: whether sliding attention is in use only if `use_sliding_window` says so.
        fused_attention: whether PyTorch's fused attention computes what the architecture means;
            one that caps attention scores needs the plain one.
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
    bias_keys: Mapping[str, tuple[str, ...]] | None = None
    head_norms: tuple[str, ...] = ()
    norm_of_all_heads: bool = False
    closing_norms: tuple[str, ...] = ()
    unit_gain: bool = False
    defaults: Mapping[str, Any] | None = None
    config_keys: tuple[str, ...] = ()
    switches_sliding: bool = False
    fused_attention: bool = True
    backbone: str = "model"
    blocks: str = "model.layers"
    embedding: str = "model.embed_tokens"
    final_norm: str = "model.norm"
    head: str = "lm_head"
    sites: tuple[SiteShape, ...] = BLOCK_SITES

    @property
    def rotates_residual(self) -> bool:
        """Whether a rotation of the residual stream (R1) can be fused."""
        return not self.closing_norms

    @property
    def attention(self) -> Literal["sdpa", "eager"]:
        """What transformers calls the attention to compute with."""
        return "sdpa" if self.fused_attention else "eager"

    def setting(self, config: Mapping[str, Any], key: str) -> Any:
        """The value of a key in config.json, or what the architecture assumes without it."""
        value = config.get(key)
        return (self.defaults or {}).get(key) if value is None else value

    def biased(self, config: Mapping[str, Any]) -> frozenset[str]:
        """Projections that carry a bias, by a parsed config.json."""
        keys = BIAS_KEYS if self.bias_keys is None else self.bias_keys
        more = (names for key, names in keys.items() if self.setting(config, key))
        return frozenset(self.biases).union(*more)

    def tied(self, config: Mapping[str, Any]) -> bool:
        """Whether the head shares its matrix with the embedding, by a parsed config.json."""
        return bool(self.setting(config, "tie_word_embeddings"))
