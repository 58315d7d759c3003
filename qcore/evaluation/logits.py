"""The two halves of a causal LM: a decoder, and a head.

The decoder turns tokens into final normed hidden states; the head is a linear map from those to
logits. Logits are by far the larger, so the decoder runs once, and the head is applied to a chunk
of rows at a time (`qcore.numerics.distributions`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from qcore.errors import DataError, UnsupportedModel

PASS_TOKENS = 512
"""Tokens of several short texts that go through the network together; more suit a GPU."""


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


def require_words(tokens: Sequence[int], words: int) -> None:
    """Refuse tokens that a network of `words` words has no embedding for.

    Raises:
        DataError: names the first one.
    """
    outside = next((token for token in (min(tokens), max(tokens)) if not 0 <= token < words), None)
    if outside is not None:
        raise DataError(
            f"token {outside} is outside the model's vocabulary of {words} words",
            remedy="use the tokenizer that the network was trained with, or leave out the text "
            "that it makes this token of",
        )


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
