"""A text continued greedily: the most likely token, again and again.

Two networks that differ a little say the same for a while, then one token differs, and from there
on they read different texts. Where that happens says more to a person than a mean loss; it is no
measure, since a single close call decides it.

Greedy decoding draws nothing: the same network continues the same prompt the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qcore.errors import DataError, NumericalError
from qcore.evaluation.logits import require_words
from qcore.evaluation.pieces import token_pieces
from qcore.progress import Progress, silent

_SHOWN = 60
"""Characters of the newest text in a progress message."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a network says after a prompt.

    Attributes:
        tokens: their ids, in order.
        pieces: their texts.
        ended: whether the network ended the text itself, before it had all the tokens it may have.
    """

    tokens: tuple[int, ...]
    pieces: tuple[str, ...]
    ended: bool


def equal_prefix(a: Continuation, b: Continuation) -> int:
    """How many tokens two continuations begin with that are the same."""
    pairs = zip(a.tokens, b.tokens, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), _shorter(a, b))


def _shorter(a: Continuation, b: Continuation) -> int:
    return min(len(a.tokens), len(b.tokens))


@torch.no_grad()
def continue_greedily(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    count: int,
    progress: Progress = silent,
) -> Continuation:
    """Continue a prompt by up to `count` tokens.

    Raises:
        DataError: the prompt has no tokens, or with `count` more the network reads none so long.
        NumericalError: the network's outputs are not finite.
    """
    read = tokenizer.encode(prompt)
    _check(model, read, count)
    ends = _ends(model, tokenizer)
    inputs = torch.tensor([read], device=model.device)
    said: list[int] = []
    past = None
    while len(said) < count:
        made = model(input_ids=inputs, past_key_values=past, use_cache=True)
        logits, past = made.logits[0, -1], made.past_key_values
        if not bool(logits.isfinite().all()):
            raise NumericalError(
                f"the network's outputs after {len(said)} tokens are not finite",
                remedy="use more bits, or float32 instead of bfloat16",
            )
        token = int(logits.argmax())
        said.append(token)
        if token in ends:
            break
        inputs = torch.tensor([[token]], device=model.device)
        progress(len(said), count, _newest(tokenizer, said))
    pieces = token_pieces(tokenizer, [*read, *said])[len(read) :]
    return Continuation(tuple(said), tuple(pieces), ended=bool(said) and said[-1] in ends)


def _check(model: PreTrainedModel, read: Sequence[int], count: int) -> None:
    if not read:
        raise DataError("the prompt has no tokens", remedy="write a few words")
    config = model.config.get_text_config()
    require_words(read, config.vocab_size)
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and len(read) + count > context:
        raise DataError(
            f"the prompt has {len(read)} tokens, and with {count} more the network reads {context}",
            remedy=f"shorten it to {max(context - count, 0)} tokens",
        )


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end a text: the model's own, and the tokenizer's."""
    found: set[int] = set()
    for owner in (getattr(model, "generation_config", None), model.config, tokenizer):
        named = getattr(owner, "eos_token_id", None)
        found |= {named} if isinstance(named, int) else set(named or ())
    return found


def _newest(tokenizer: PreTrainedTokenizerBase, said: Sequence[int]) -> str:
    text = str(tokenizer.decode(list(said[-_SHOWN:]), clean_up_tokenization_spaces=False))
    return f"…{' '.join(text.split())[-_SHOWN:]}"
