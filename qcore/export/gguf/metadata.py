"""A network's configuration in GGUF's keys, and the tensor of llama3's RoPE factors.

Keys and the factors' formula: `gguf/constants.py` and `convert_hf_to_gguf.py` of llama.cpp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gguf import GGUFWriter, RopeScalingType

from qcore.errors import ExportError

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Ours by `model_type`; llama.cpp calls them the same."""


def add_configuration(writer: GGUFWriter, config: Any, name: str) -> None:
    """Add what llama.cpp must know of the network.

    Args:
        writer: nothing written yet.
        config: a transformers configuration of one of `ARCHITECTURES`.
        name: what to call the model.

    Raises:
        ExportError: something that llama.cpp computes otherwise.
    """
    _require_known(config)
    rope = config.rope_parameters
    head = head_size(config)
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def rope_factors(config: Any) -> np.ndarray | None:
    """llama3's divisors of RoPE's frequencies, float32 [head/2]; None for other kinds of RoPE."""
    rope = config.rope_parameters
    if rope["rope_type"] != "llama3":
        return None
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    length = rope["original_max_position_embeddings"]
    size = head_size(config)
    found = []
    for place in range(0, size, 2):
        turns = length / (2 * math.pi * rope["rope_theta"] ** (place / size))
        if turns > high:
            found.append(1.0)
        elif turns < low:
            found.append(factor)
        else:
            smooth = (turns - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


def head_size(config: Any) -> int:
    """Entries of an attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _require_known(config: Any) -> None:
    if config.model_type not in ARCHITECTURES:
        raise ExportError(
            f"{config.model_type} networks are not written as GGUF here",
            remedy=f"choose one of {', '.join(ARCHITECTURES)}, or export to compressed-tensors",
        )
    kind = config.rope_parameters["rope_type"]
    if kind not in ("default", "linear", "llama3"):
        raise ExportError(
            f"RoPE of the kind {kind} is not written as GGUF here",
            remedy="export to compressed-tensors",
        )
    if getattr(config, "use_sliding_window", False):
        raise ExportError(
            "some layers attend to a sliding window, which llama.cpp does not do in this family",
            remedy="export to compressed-tensors",
        )
    if config.model_type == "qwen3" and getattr(config, "attention_bias", False):
        raise ExportError(
            "llama.cpp has no biases in this family's attention",
            remedy="export to compressed-tensors",
        )
    if config.hidden_act != "silu":
        raise ExportError(
            f"the MLP's function is {config.hidden_act}, and llama.cpp computes silu",
            remedy="export to compressed-tensors",
        )
