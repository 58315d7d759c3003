"""What is kept beside exported weights so that anybody can check them later, with no Quantscope.

`quantscope.json` holds a SHA-256 of every tensor as a reader must end up with it (dequantized, in
the network's type), the recipe, and where it came from. `quantscope_logits.safetensors` holds what
the quantized network says about a few tokens: its log-probabilities at some words and at all.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PROOF = "quantscope.json"
LOGITS = "quantscope_logits.safetensors"
TOKENS = 64
WORDS = 256


def digest_tensor(tensor: Tensor) -> str:
    """SHA-256 of the bytes of a tensor, row by row."""
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(plain.data).hexdigest()


def write_logits(model: Any, folder: Path, seed: int = 0) -> None:
    """Keep the network's log-probabilities of `WORDS` words after each of `TOKENS` tokens."""
    from safetensors.torch import save_file

    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, vocabulary, (1, TOKENS), generator=generator)
    words = torch.randperm(vocabulary, generator=generator)[:WORDS].sort().values
    with torch.no_grad():
        logits = model(tokens.to(model.device), use_cache=False).logits[0].float().cpu()
    save_file(
        {
            "tokens": tokens[0],
            "words": words,
            "log_probabilities": logits.log_softmax(-1)[:, words].contiguous(),
        },
        folder / LOGITS,
    )
