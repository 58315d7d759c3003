"""What is kept of every scored token, and the statistics that people ask of it.

A mean over 4,000 tokens says how much a network lost, not where. So each scored window keeps, for
every predicted token, with p the float network's distribution, q the quantized one's and y the
token that the text has:

    loss        −log q(y)                        nats
    kl          KL(p ‖ q)                        nats
    delta_p     q(y) − p(y)
    agreement   argmax p = argmax q
    float_loss  −log p(y)                        nats

17 bytes a token, and nothing else is needed for the numbers that llama.cpp's perplexity tool prints
against a KL base: the mean of KL with its standard error, quantiles up to 99.9 %, RMS Δp, the share
of equal top tokens, ln(PPL(Q)/PPL(base)) and the correlation of both networks' losses.

Standard errors are those of independent tokens, as llama.cpp's are; neighbouring tokens are not
independent, so for the intervals of a decision use those over windows (`confidence`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qcore.errors import CorruptEntry, DataError
from qcore.evaluation.divergence import token_agreement
from qcore.numerics.distributions import token_divergence
from qcore.report.tokens import QUANTILES, Estimate, TokenStatistics


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """The predictions of one window, token by token.

    Attributes:
        loss: negative log-likelihood of the text's token, nats, float32.
        kl: KL(float ‖ this network), nats, float32; None without a reference.
        delta_p: probability of the text's token less the float network's; None likewise.
        agreement: whether both networks rank the same token first; None likewise.
        float_loss: the float network's negative log-likelihood, nats, float32; None likewise.
    """

    loss: Float[Tensor, " tokens"]
    kl: Float[Tensor, " tokens"] | None = None
    delta_p: Float[Tensor, " tokens"] | None = None
    agreement: Bool[Tensor, " tokens"] | None = None
    float_loss: Float[Tensor, " tokens"] | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Plain tensors for safetensors, numbers in float32; what is absent is left out."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {
            name: (part if part.dtype == torch.bool else part.float()).contiguous()
            for name, part in parts.items()
            if part is not None
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> TokenScores:
        """The scores of those tensors.

        Raises:
            CorruptEntry: the losses are missing, or the parts differ in length.
        """
        parts = {name: tensors.get(name) for name in _PARTS}
        loss = parts.pop("loss")
        if loss is None or any(p is not None and p.shape != loss.shape for p in parts.values()):
            raise CorruptEntry(
                "the stored token scores are not of one window",
                remedy="measure the run again",
            )
        agreement = parts["agreement"]
        return cls(
            loss,
            parts["kl"],
            parts["delta_p"],
            None if agreement is None else agreement.bool(),
            parts["float_loss"],
        )


_PARTS = ("loss", "kl", "delta_p", "agreement", "float_loss")


def tokens_of(
    logprobs: Float[Tensor, "tokens vocab"],
    targets: Int[Tensor, " tokens"],
    float_logprobs: Float[Tensor, "tokens vocab"] | None = None,
) -> TokenScores:
    """Score a chunk of predictions, given both networks' log-probabilities.

    Args:
        logprobs: of the network that is measured, fp32 or fp64.
        targets: the text's tokens.
        float_logprobs: of the float network at the same places.
    """
    at = targets[:, None]
    likelihood = logprobs.gather(1, at)[:, 0]
    if float_logprobs is None:
        return TokenScores(-likelihood)
    float_likelihood = float_logprobs.gather(1, at)[:, 0]
    return TokenScores(
        loss=-likelihood,
        kl=token_divergence(float_logprobs, logprobs),
        delta_p=likelihood.exp() - float_likelihood.exp(),
        agreement=token_agreement(float_logprobs, logprobs),
        float_loss=-float_likelihood,
    )


def joined(chunks: Sequence[TokenScores]) -> TokenScores:
    """One window's scores from those of its chunks, in order."""

    def join(name: str) -> Tensor | None:
        parts = [getattr(chunk, name) for chunk in chunks]
        return None if parts[0] is None else torch.cat(parts)

    loss = join("loss")
    assert loss is not None
    return TokenScores(loss, join("kl"), join("delta_p"), join("agreement"), join("float_loss"))


def token_statistics(windows: Sequence[TokenScores]) -> TokenStatistics:
    """Summarise a run's windows against the float network beside them, in float64.

    Raises:
        DataError: no windows, or windows that were scored without the float network.
    """
    if not windows:
        raise DataError("there are no windows to sum up", remedy="score at least 1 window")
    loss, base = _flat(windows, "loss"), _flat(windows, "float_loss")
    kl, change = _flat(windows, "kl"), _flat(windows, "delta_p")
    same = _flat(windows, "agreement")
    square = _mean(change**2)
    rms = math.sqrt(square.value)
    mean, float_mean = _mean(loss), _mean(base)
    varies = loss.std() > 0 and base.std() > 0
    return TokenStatistics(
        tokens=loss.size,
        kl=_mean(kl),
        kl_quantiles=_quantiles(kl),
        kl_least=float(kl.min()),
        kl_most=float(kl.max()),
        delta_p=_mean(change),
        delta_p_rms=Estimate(rms, square.error / (2 * rms) if rms else 0.0),
        delta_p_quantiles=_quantiles(change),
        delta_p_least=float(change.min()),
        delta_p_most=float(change.max()),
        same_top=_mean(same),
        perplexity=_exponential(mean),
        float_perplexity=_exponential(float_mean),
        log_ratio=_mean(loss - base),
        correlation=float(np.corrcoef(loss, base)[0, 1]) if varies else None,
    )


def _flat(windows: Sequence[TokenScores], name: str) -> np.ndarray:
    parts = [getattr(window, name) for window in windows]
    if any(part is None for part in parts):
        raise DataError(
            "these windows were scored without the float network beside them",
            remedy="measure the run again with divergence on",
        )
    return torch.cat([part.detach().cpu().double() for part in parts]).numpy()


def _mean(values: np.ndarray) -> Estimate:
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return Estimate(float(values.mean()), spread / math.sqrt(values.size))


def _exponential(mean: Estimate) -> Estimate:
    """The delta method: d exp(m) = exp(m) dm."""
    value = math.exp(min(mean.value, 700.0))
    return Estimate(value, value * mean.error)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    found = np.quantile(values, QUANTILES)
    return {f"{share:g}": float(value) for share, value in zip(QUANTILES, found, strict=True)}
