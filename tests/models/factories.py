"""Random networks of each family, small enough for a test, and a tokenizer to go with them."""

import functools

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from qcore.models.families import FAMILIES

VOCABULARY = 300
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}

MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
OWN = {
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 8},
    "ministral": {
        "head_dim": 16,
        "sliding_window": 8,
        "layer_types": MIXED,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    },
    "ministral3": {
        "head_dim": 16,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e4,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "llama_4_scaling_beta": 0.1,
        },
    },
    "smollm3": {"no_rope_layer_interval": 2, "pad_token_id": 0},
    "granite": {
        "embedding_multiplier": 3.0,
        "attention_multiplier": 0.3,
        "residual_multiplier": 0.7,
        "logits_scaling": 4.0,
    },
    "seed_oss": {"head_dim": 16, "attention_dropout": 0.0, "residual_dropout": 0.0},
    "helium": {"head_dim": 8},
    "ernie4_5": {"head_dim": 16, "use_bias": True},
    "hunyuan_v1_dense": {"head_dim": 16},
    "gemma": {"head_dim": 16},
    "gemma2": {
        "head_dim": 16,
        "sliding_window": 8,
        "query_pre_attn_scalar": 16,
        "final_logit_softcapping": 2.0,
        "attn_logit_softcapping": 2.0,
    },
    "gemma3_text": {
        "head_dim": 16,
        "sliding_window": 8,
        "query_pre_attn_scalar": 16,
        "layer_types": MIXED,
    },
    "olmo3": {
        "sliding_window": 8,
        "layer_types": MIXED,
    },
}
"""What a family's network has of its own; large enough that leaving it out would show."""

ROTATED = [name for name, family in FAMILIES.items() if family.rotates_residual]
"""Families whose residual stream can be carried in another basis."""


def _made(name: str, **more):
    config = AutoConfig.for_model(name, **(SIZES | OWN.get(name, {}) | more))
    return AutoModelForCausalLM.from_config(
        config, attn_implementation=FAMILIES[name].attention, dtype=torch.float32
    )


MAKERS = {name: functools.partial(_made, name) for name in FAMILIES}

VARIANTS = {
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biased": ("llama", {"attention_bias": True}),
    "llama, long context": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen2, sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {}),
    "qwen3, tied": ("qwen3", {"tie_word_embeddings": True}),
} | {name: (name, {}) for name in FAMILIES if name not in ("llama", "qwen2", "qwen3")}


def tiny_model(family: str = "llama", dtype: torch.dtype = torch.float32, **more):
    """A random network whose biases and norms are random too, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = MAKERS[family](**more)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    centre = 0.0 if name.endswith("bias") else 1.0
                    parameter.normal_(centre, 0.3)
    return model.to(dtype).eval().requires_grad_(False)


def tiny_windows(count: int = 3, length: int = 16) -> torch.Tensor:
    """Random token ids."""
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, VOCABULARY, (count, length), generator=generator)


PROSE = "The rain had stopped by noon, and nobody's umbrella was needed. 'Why not?' she asked.\n\n"


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on a sentence."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        show_progress=False,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([PROSE * 3], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>")


WORDS = 203
"""The vocabulary of `tiny_llama`."""


def tiny_llama(
    seed: int, *, tied: bool = False, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """A random two-layer Llama of `WORDS` words, another one for each seed."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        "llama",
        vocab_size=WORDS,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=tied,
        dtype=dtype,
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
