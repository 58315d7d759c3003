"""Perplexity, by one definition, printed beside every number.

The text is cut into non-overlapping windows of `length` tokens. Each window stands alone: no BOS,
no context from the window before. All of it is scored: token t is predicted from the tokens before
it in its window, so a window has `length − 1` predictions. With ℓ the negative log-likelihood in
nats,

    perplexity = exp( mean of ℓ over all predictions of all windows ).

Windows are equally long, so the mean over tokens is the mean over windows, and the windows' means
are kept: they are what bootstrap intervals and paired comparisons resample (`confidence`).

A window goes through the decoder once; the head is applied to a chunk of tokens at a time, because
the logits of one 2048-token window of a 128k-word model alone would take 1 GB in fp32. The chunk
is the same for every network, so equal hidden states have equal losses to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from qcore.errors import DataError, NumericalError, UnsupportedModel
from qcore.evaluation.confidence import MAX_LOSS
from qcore.evaluation.divergence import Head, Reference, token_agreement, token_divergence
from qcore.event import Progress, silent

CHUNK_LOGITS = 1 << 22
"""Logits made at a time: 16 MB in fp32, small enough to stay near the cores."""


@dataclass(frozen=True, slots=True)
class WindowScore:
    """One window.

    Attributes:
        loss: mean negative log-likelihood, nats per token.
        tokens: predictions in the window.
        kl: mean KL(float ‖ this network), nats per token; None without a reference.
        agreement: share of tokens whose top-1 prediction is the float network's; None likewise.
    """

    loss: float
    tokens: int
    kl: float | None = None
    agreement: float | None = None


def definition(windows: int, length: int) -> str:
    """The sentence that another program could follow to the same perplexity."""
    return (
        f"exp of the mean negative log-likelihood per token over {windows} non-overlapping "
        f"window{'s' if windows != 1 else ''} of {length} tokens, each scored whole "
        f"({length - 1} predictions, {windows * (length - 1)} in all), no BOS, "
        "no context across windows"
    )


def divergence_definition(windows: int, length: int) -> str:
    """The same for KL to the float network."""
    return (
        "mean KL(float ‖ quantized) over the full vocabulary, nats per token, at the "
        f"{windows * (length - 1)} predictions of {windows} × {length}-token windows, no BOS"
    )


def agreement_definition(windows: int, length: int) -> str:
    """The same for top-1 agreement."""
    return (
        "share of tokens whose most likely next token is the float network's, at the "
        f"{windows * (length - 1)} predictions of {windows} × {length}-token windows, no BOS"
    )


def perplexity(losses: Sequence[float]) -> float:
    """The exponential of the mean of equally long windows' mean losses.

    Raises:
        DataError: no windows.
        NumericalError: the mean loss has no finite exponential.
    """
    if not losses:
        raise DataError("there are no windows to average", remedy="score at least 1 window")
    mean = math.fsum(losses) / len(losses)
    if not mean <= MAX_LOSS:
        raise NumericalError(
            f"a mean loss of {mean:g} nats per token has no finite perplexity",
            remedy="use more bits or a scale that clips less",
        )
    return math.exp(mean)


def score(
    model: PreTrainedModel,
    windows: Int[Tensor, "windows length"],
    reference: Reference | None = None,
    progress: Progress = silent,
) -> Iterator[WindowScore]:
    """Score windows one after the other, so that each can be kept as soon as it is done.

    Raises:
        DataError: windows that cannot be scored, or a reference taken on other windows.
        NumericalError: a window's loss is not finite.
    """
    _check(model, windows)
    for index, window in enumerate(windows):
        yield score_window(model, window, reference, index)
        progress(index + 1, len(windows), f"scored window {index + 1} of {len(windows)}")


def score_window(
    model: PreTrainedModel,
    window: Int[Tensor, " length"],
    reference: Reference | None = None,
    index: int = 0,
) -> WindowScore:
    """Score one window, the `index`-th of those on which the reference was taken.

    Raises:
        DataError: as `score`.
        NumericalError: as `score`.
    """
    _check(model, window[None])
    anchor = reference and (reference.window(index, len(window)), reference.head)
    return _score_hidden(_final_hidden(model, window), _head(model), window, anchor, index)


def take_reference(
    model: PreTrainedModel, windows: Int[Tensor, "windows length"], progress: Progress = silent
) -> Reference:
    """One pass of the float network: what `score` measures divergence from.

    The head is referred to, not copied: take it from a model that is not changed afterwards, or
    copy it (`Reference.to_tensors`).

    Raises:
        DataError: windows that cannot be scored.
    """
    _check(model, windows)
    hidden = []
    for index, window in enumerate(windows):
        hidden.append(_final_hidden(model, window))
        progress(index + 1, len(windows), f"float window {index + 1} of {len(windows)}")
    head = _head(model)
    if not isinstance(head, torch.nn.Linear):
        raise UnsupportedModel(
            f"the output head is a {type(head).__name__}, not a linear layer",
            remedy="evaluate without divergence",
        )
    bias = None if head.bias is None else head.bias.detach()
    return Reference(torch.stack(hidden), Head(head.weight.detach(), bias))


def score_reference(
    reference: Reference, windows: Int[Tensor, "windows length"]
) -> Iterator[WindowScore]:
    """The float network's own scores, from its kept hidden states: no second pass.

    Its divergence from itself is not computed: it is zero, and the agreement one.

    Raises:
        DataError: the reference was taken on other windows.
        NumericalError: a window's loss is not finite.
    """
    for index, window in enumerate(windows):
        hidden = reference.window(index, len(window))
        scored = _score_hidden(hidden, reference.head, window, None, index)
        yield WindowScore(scored.loss, scored.tokens, kl=0.0, agreement=1.0)


def _check(model: PreTrainedModel, windows: Tensor) -> None:
    if windows.ndim != 2 or windows.shape[0] < 1 or windows.shape[1] < 2:
        raise DataError(
            f"windows of shape {tuple(windows.shape)} cannot be scored",
            remedy="give at least 1 window of at least 2 tokens",
        )
    words = model.config.get_text_config().vocab_size
    low, high = int(windows.min()), int(windows.max())
    if low < 0 or high >= words:
        raise DataError(
            f"token {low if low < 0 else high} is outside the model's vocabulary of {words} words",
            remedy="tokenize the text with the model's own tokenizer",
        )


def _head(model: PreTrainedModel) -> torch.nn.Module:
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no output head", remedy="load it as a causal LM"
        )
    return head


@torch.no_grad()
def _final_hidden(model: PreTrainedModel, window: Tensor) -> Float[Tensor, "length hidden"]:
    ids = window[None].to(model.device)
    return model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]


@torch.no_grad()
def _score_hidden(
    hidden: Float[Tensor, "length hidden"],
    head: Callable[[Tensor], Tensor],
    window: Int[Tensor, " length"],
    anchor: tuple[Float[Tensor, "length hidden"], Head] | None,
    index: int,
) -> WindowScore:
    """Losses, and divergence from the anchor's hidden states and head, chunk by chunk."""
    targets = window[1:].to(hidden.device)
    losses, divergences, agreements = [], [], []
    step = 0
    while step < len(targets):
        rows = slice(step, step + _rows(head))
        logprobs = _logprobs(head, hidden[:-1][rows])
        losses.append(-logprobs.gather(1, targets[rows, None])[:, 0])
        if anchor is not None:
            float_hidden, float_head = anchor
            float_rows = float_hidden[:-1][rows].to(hidden.device)
            float_logprobs = _logprobs(float_head, float_rows)
            divergences.append(token_divergence(float_logprobs, logprobs))
            agreements.append(token_agreement(float_logprobs, logprobs))
        step = rows.stop
    loss = _mean(losses)
    kl = _mean(divergences) if anchor is not None else None
    if not math.isfinite(loss) or (kl is not None and not math.isfinite(kl)):
        raise NumericalError(
            f"window {index} has a loss of {loss}, so the network's outputs are not finite",
            remedy="use more bits, or float32 instead of bfloat16",
        )
    return WindowScore(loss, len(targets), kl, _mean(agreements) if anchor is not None else None)


def _rows(head: Callable[[Tensor], Tensor]) -> int:
    weight = getattr(head, "weight", None)
    words = weight.shape[0] if isinstance(weight, Tensor) else CHUNK_LOGITS // 64
    return max(1, CHUNK_LOGITS // words)


def _logprobs(
    head: Callable[[Tensor], Tensor], hidden: Float[Tensor, "tokens hidden"]
) -> Float[Tensor, "tokens vocab"]:
    """fp32 log-probabilities, or fp64 for a network in fp64."""
    logits = head(hidden)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, dim=-1, dtype=wide)


def _mean(parts: list[Tensor]) -> float:
    return float(torch.cat(parts).double().mean())
