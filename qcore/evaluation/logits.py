"""The decoder of a causal LM, apart from its head.

The decoder turns tokens into final normed hidden states; the head (`qcore.numerics.head`) turns
those into logits. Logits are by far the larger, so the decoder runs once, and the head is applied
to a chunk of rows at a time (`qcore.numerics.distributions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from qcore.errors import DataError

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
        placed["attention_mask"] = _masks(model, sees, positions)
    return model.base_model(**placed, use_cache=False).last_hidden_state[0]


def _masks(
    model: PreTrainedModel, sees: Bool[Tensor, "tokens tokens"], positions: Tensor | None
) -> Any:
    """The mask, or one by kind of layer where some look back a window's length only."""
    config: Any = model.config
    places = torch.arange(len(sees)) if positions is None else positions.cpu()
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", None) is False or window is None:
        return _additive(model, sees)
    near = sees & (places[:, None] - places < window).to(sees.device)
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if kinds == {"full_attention"} or torch.equal(near, sees):
        return _additive(model, sees)
    if kinds == {"sliding_attention"}:
        return _additive(model, near)
    return {
        "full_attention": _additive(model, sees),
        "sliding_attention": _additive(model, near),
    }


def _additive(model: PreTrainedModel, sees: Bool[Tensor, "tokens tokens"]) -> Tensor:
    """An additive mask: the one kind that every attention implementation in use understands."""
    mask = torch.zeros(sees.shape, dtype=model.dtype)
    mask.masked_fill_(~sees, torch.finfo(model.dtype).min)
    return mask[None, None].to(model.device)


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
