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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from qcore.errors import DataError, NumericalError
from qcore.evaluation.confidence import MAX_LOSS
from qcore.evaluation.divergence import Reference
from qcore.evaluation.logits import final_hidden, require_words
from qcore.evaluation.tokens import TokenScores, joined, tokens_of
from qcore.numerics.distributions import log_probabilities, row_chunks
from qcore.numerics.head import Head, head_of
from qcore.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class WindowScore:
    """Loss and divergence of one window.

    Attributes:
        loss: mean negative log-likelihood, nats per token.
        tokens: predictions in the window.
        kl: mean KL(float ‖ this network), nats per token; None without a reference.
        agreement: share of tokens whose top-1 prediction is the float network's; None likewise.
        held: blocks of inputs whose shared exponent E8M0 could not hold, by layer; None where it
            held all, and in scores kept before this was counted.
    """

    loss: float
    tokens: int
    kl: float | None = None
    agreement: float | None = None
    held: dict[str, int] | None = None


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
        scored = score_window(model, window, reference, index)
        progress(index + 1, len(windows), f"scored window {index + 1} of {len(windows)}")
        yield scored


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
    return window_score(score_tokens(model, window, reference, index))


def score_tokens(
    model: PreTrainedModel,
    window: Int[Tensor, " length"],
    reference: Reference | None = None,
    index: int = 0,
) -> TokenScores:
    """Score every prediction of one window, the `index`-th of those of the reference.

    Raises:
        DataError: as `score`.
        NumericalError: as `score`.
    """
    _check(model, window[None])
    anchor = reference and (reference.window(index, len(window)), reference.head)
    return _score_hidden(final_hidden(model, window), head_of(model), window, anchor, index)


def window_score(tokens: TokenScores) -> WindowScore:
    """The means of one window's tokens, taken in float64."""
    return WindowScore(
        loss=float(tokens.loss.double().mean()),
        tokens=len(tokens.loss),
        kl=_mean(tokens.kl),
        agreement=_mean(tokens.agreement),
    )


def take_reference(
    model: PreTrainedModel, windows: Int[Tensor, "windows length"], progress: Progress = silent
) -> Reference:
    """One pass of the float network: what `score` measures divergence from.

    The head is referred to, not copied: take it from a model that is not changed afterwards, or
    copy it (`Reference.to_tensors`).

    Raises:
        DataError: windows that cannot be scored.
        UnsupportedModel: the head is not a linear map.
    """
    _check(model, windows)
    head = head_of(model)
    hidden = []
    for index, window in enumerate(windows):
        hidden.append(final_hidden(model, window))
        progress(index + 1, len(windows), f"float window {index + 1} of {len(windows)}")
    return Reference(torch.stack(hidden), head)


def score_reference_tokens(
    reference: Reference, window: Int[Tensor, " length"], index: int = 0
) -> TokenScores:
    """Score the float network in the `index`-th window from its kept hidden states: no second pass.

    Losses alone: its divergence from itself is not computed, for it is zero.

    Raises:
        DataError: the reference was taken on other windows.
        NumericalError: a window's loss is not finite.
    """
    hidden = reference.window(index, len(window))
    return _score_hidden(hidden, reference.head, window, None, index, is_float=True)


def _check(model: PreTrainedModel, windows: Tensor) -> None:
    if windows.ndim != 2 or windows.shape[0] < 1 or windows.shape[1] < 2:
        raise DataError(
            f"windows of shape {tuple(windows.shape)} cannot be scored",
            remedy="give at least 1 window of at least 2 tokens",
        )
    require_words(
        [int(windows.min()), int(windows.max())], model.config.get_text_config().vocab_size
    )


@torch.no_grad()
def _score_hidden(
    hidden: Float[Tensor, "length hidden"],
    head: Head,
    window: Int[Tensor, " length"],
    anchor: tuple[Float[Tensor, "length hidden"], Head] | None,
    index: int,
    *,
    is_float: bool = False,
) -> TokenScores:
    """Losses, and divergence from the anchor's hidden states and head, chunk by chunk."""
    targets = window[1:].to(hidden.device)
    words = head.weight.shape[0]
    chunks = []
    for rows in row_chunks(len(targets), words):
        logprobs = log_probabilities(head, hidden[rows])
        float_logprobs = None
        if anchor is not None:
            float_hidden, float_head = anchor
            float_logprobs = log_probabilities(float_head, float_hidden[rows].to(hidden.device))
        chunks.append(tokens_of(logprobs, targets[rows], float_logprobs))
    tokens = joined(chunks)
    score = window_score(tokens)
    if not math.isfinite(score.loss) or (score.kl is not None and not math.isfinite(score.kl)):
        raise _not_finite(index, score.loss, is_float)
    return tokens


def _not_finite(index: int, loss: float, is_float: bool) -> NumericalError:
    """Error for losses that are not finite; a float network cannot be given more bits."""
    whose = "float network's" if is_float else "network's"
    return NumericalError(
        f"window {index} has a loss of {loss}, so the {whose} outputs are not finite",
        remedy="compute in float32, or choose another checkpoint"
        if is_float
        else "use more bits, or float32 instead of bfloat16",
    )


def _mean(part: Tensor | None) -> float | None:
    return None if part is None else float(part.double().mean())
