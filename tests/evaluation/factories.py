import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

WORDS = 203


def tiny_llama(
    seed: int, *, tied: bool = False, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
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
    return LlamaForCausalLM(config).to(dtype).eval()
