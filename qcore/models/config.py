"""What of a config.json decides a network, and nothing else of it.

A config.json may also name an attention kernel to be fetched, other files to be read in place of
it or of the weights, a type to compute in, or whether tuples are returned. None of that is a
property of the network, so a loader never sees it: what the supported architectures read is listed
here and in `families`, the rest is dropped. Whole numbers where the loader wants fractions
(`rope_theta` 10000, `rms_norm_eps` 0) mean the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcore.errors import BrokenCheckpoint
from qcore.models.families import FAMILIES
from qcore.models.family import Family

DECISIVE = (
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "partial_rotary_factor",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "layer_types",
    "tokenizer_class",
    "transformers_version",
)
"""Keys that every network's or its tokenizer's construction reads."""

_FRACTIONS = (
    "rms_norm_eps",
    "rope_theta",
    "rope_local_base_freq",
    "partial_rotary_factor",
    "embedding_multiplier",
    "attention_multiplier",
    "residual_multiplier",
    "logits_scaling",
    "attn_logit_softcapping",
    "final_logit_softcapping",
)
_LAYERS = ("full_attention", "sliding_attention")


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The decisive part of a parsed config.json, for the loader.

    Raises:
        BrokenCheckpoint: `layer_types` that the architectures do not have, or that contradict.
    """
    family = _family(config)
    keys = DECISIVE + (family.config_keys if family else ())
    found = {key: config[key] for key in keys if key in config}
    for key in _FRACTIONS:
        if type(found.get(key)) is int:
            found[key] = float(found[key])
    found["pad_token_id"] = None  # an architecture's own may lie beyond a small vocabulary
    for key in ("tokenizer_class", "transformers_version"):
        if not isinstance(found.get(key), str):
            found.pop(key, None)
    _check_layers(found, family)
    return found


def _family(config: Mapping[str, Any]) -> Family | None:
    name = config.get("model_type")
    return FAMILIES.get(name) if isinstance(name, str) else None


def resets_frequencies(config: Mapping[str, Any]) -> bool:
    """Whether rotary frequencies depend on how long a sequence is (`rope_type` "dynamic").

    Transformers keeps them between calls; a network of ours forgets them (`stateless`), so the
    outcomes of these networks, and of no others, differ from those of earlier versions.
    """
    return any(_mentions(config.get(key), "dynamic") for key in ("rope_parameters", "rope_scaling"))


def _mentions(value: Any, word: str, depth: int = 0) -> bool:
    if not isinstance(value, Mapping) or depth > 2:
        return False
    kinds = (value.get("rope_type"), value.get("type"))
    if any(isinstance(kind, str) and word in kind for kind in kinds):
        return True
    return any(_mentions(item, word, depth + 1) for item in value.values())


def _check_layers(config: Mapping[str, Any], family: Family | None) -> None:
    layers = config.get("layer_types")
    if layers is None:
        return
    again = "download config.json again, or remove layer_types"
    if not isinstance(layers, list) or any(kind not in _LAYERS for kind in layers):
        raise BrokenCheckpoint(
            f"config.json: layer_types may name {' and '.join(_LAYERS)} only", remedy=again
        )
    if len(layers) != config.get("num_hidden_layers"):
        raise BrokenCheckpoint(
            f"config.json: {len(layers)} layer_types for {config.get('num_hidden_layers')} "
            "decoder blocks",
            remedy=again,
        )
    slides = config.get("use_sliding_window") and config.get("sliding_window")
    if "sliding_attention" in layers and not slides and family and family.switches_sliding:
        raise BrokenCheckpoint(
            "config.json: layer_types name sliding_attention, and no sliding_window is in use",
            remedy=again,
        )
