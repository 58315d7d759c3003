"""From tokens to log-probabilities without ever holding a sequence's logits.

A causal LM is a decoder, which turns tokens into final normed hidden states, and a head, a linear
map from those to logits. Logits are by far the larger: 49,152 numbers a token against 576 in the
demo model. So the decoder runs once, and the head is applied to a chunk of rows at a time, each
chunk reduced before the next is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from qcore.errors import UnsupportedModel

PASS_TOKENS = 512
"""Tokens of several short texts that go through the network together; more suit a GPU."""

CHUNK_LOGITS = 1 << 23
"""Logits made at a time, 32 MB in fp32: measured fastest for 49,152 words on one core."""


@torch.no_grad()
def final_hidden(
    model: PreTrainedModel,
    tokens: Int[Tensor, " tokens"],
    *,
    positions: Int[Tensor, " tokens"] | None = None,
    sees: Bool[Tensor, "tokens tokens"] | None = None,
) -> Float[Tensor, "tokens hidden"]:
    """Final hidden states of one sequence, after the last norm, in the network's dtype.

    Args:
        model: a causal LM.
        tokens: one sequence, or several side by side when `positions` and `sees` say so.
        positions: each token's position; 0, 1, … when left out.
        sees: row i marks the tokens that token i attends to; causal when left out.
    """
    placed = {"input_ids": tokens[None].to(model.device)}
    if positions is not None:
        placed["position_ids"] = positions[None].to(model.device)
    if sees is not None:
        # An additive mask: the one kind that every attention implementation in use understands.
        mask = torch.zeros(sees.shape, dtype=model.dtype)
        mask.masked_fill_(~sees, torch.finfo(model.dtype).min)
        placed["attention_mask"] = mask[None, None].to(model.device)
    return model.base_model(**placed, use_cache=False).last_hidden_state[0]


def head_of(model: PreTrainedModel) -> torch.nn.Linear:
    """The output head.

    Raises:
        UnsupportedModel: the model has none, or it is not a linear map.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise UnsupportedModel(
            f"the output head of {type(model).__name__} is a {type(head).__name__}, not a linear "
            "layer",
            remedy="load the model as a causal LM",
        )
    return head


def row_chunks(rows: int, words: int) -> Iterator[slice]:
    """Slices that cover `rows` rows of `words` logits, each within `CHUNK_LOGITS`."""
    step = max(1, CHUNK_LOGITS // words)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


@torch.no_grad()
def log_probabilities(
    head: Callable[[Tensor], Tensor], hidden: Float[Tensor, "rows hidden"]
) -> Float[Tensor, "rows vocab"]:
    """Log-probabilities of a chunk in fp32, or in fp64 for a network in fp64."""
    logits = head(hidden)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, dim=-1, dtype=wide)
