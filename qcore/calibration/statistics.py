"""What calibration leaves behind of a site's input: enough for every method, small, mergeable.

For the tokens x₁ … x_T that a site saw (rows of X, T × width):

    hessian   H = XᵀX / T          GPTQ, PiSO, layer output errors; Rᵀ H R after a rotation R
    cross     G = X̃ᵀX / T          X̃ the quantized network's inputs (rows of G), X the float
                                   network's (columns); Qronos and GPFQ only, then H = X̃ᵀX̃ / T
    moments   E x, E|x|, E x⁴, max|x| per channel (E x² is H's diagonal); MassDiff, kurtosis
    histogram log-scaled counts of |x| (`qcore.calibration.sketch`)
    sample    some whole tokens, to be permuted and rotated when a page asks

Sums are accumulated in float32 (H, G) and float64 (moments) and divided once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.second_moment.operation import add_second_moment
from qcore.calibration.sketch import BINS, ChannelMoments, add_moments
from qcore.errors import CorruptEntry, NumericalError

SAMPLE = 64
"""Tokens of a site that are kept whole."""

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class SiteStatistics:
    """Statistics of one site's input over `tokens` tokens; float32 on the CPU.

    Attributes:
        tokens: how many tokens the means are over.
        hessian: mean of x xᵀ.
        mean: mean of x.
        mean_abs: mean of |x|.
        mean_fourth: mean of x⁴; float64 where float32 does not hold it.
        max_abs: largest |x|.
        histogram: counts of |x| over all channels, by bin of the log sketch.
        sample: at most 64 whole tokens spread over the text, in text order.
        cross: mean of x̃ xᵀ, quantized inputs in rows and float ones in columns; None when there
            was one stream only.
    """

    tokens: int
    hessian: Float[Tensor, "width width"]
    mean: Float[Tensor, " width"]
    mean_abs: Float[Tensor, " width"]
    mean_fourth: Float[Tensor, " width"]
    max_abs: Float[Tensor, " width"]
    histogram: Int[Tensor, " bins"]
    sample: Float[Tensor, "rows width"]
    cross: Float[Tensor, "width width"] | None = None

    @property
    def width(self) -> int:
        """Channels of the input."""
        return self.hessian.shape[0]

    @property
    def kurtosis(self) -> float:
        """E x⁴ / (E x²)² over all channels, about zero: 3 for a normal distribution."""
        second = float(self.hessian.diagonal().double().mean())
        return float(self.mean_fourth.double().mean()) / second**2 if second else 0.0

    def to_tensors(self) -> dict[str, Tensor]:
        """Plain tensors by field, for safetensors."""
        tensors = {
            name: getattr(self, name).contiguous()
            for name in (*_WIDE, *_PER_CHANNEL, "histogram", "sample")
            if getattr(self, name) is not None
        }
        return {**tensors, "tokens": torch.tensor(self.tokens, dtype=torch.int64)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> SiteStatistics:
        """The statistics that `to_tensors` took apart.

        Raises:
            CorruptEntry: a field is missing or has the wrong shape.
        """
        missing = [name for name in _STORED if name not in tensors]
        if missing:
            raise _corrupt(f"stored statistics lack {', '.join(missing)}")
        width = tensors["hessian"].shape[0]
        wide = all(tensors[n].shape == (width, width) for n in _WIDE if n in tensors)
        flat = all(tensors[n].shape == (width,) for n in _PER_CHANNEL)
        if not (wide and flat and tensors["histogram"].shape == (BINS,)):
            raise _corrupt(f"stored statistics of width {width} have fields of other widths")
        fields = {name: tensors[name] for name in _STORED if name != "tokens"}
        return cls(tokens=int(tensors["tokens"]), cross=tensors.get("cross"), **fields)

    def merge(self, other: SiteStatistics) -> SiteStatistics:
        """The statistics of both texts together."""
        tokens = self.tokens + other.tokens
        share = self.tokens / tokens

        def mean(mine: Tensor, theirs: Tensor) -> Tensor:
            kind = torch.promote_types(mine.dtype, theirs.dtype)
            return torch.lerp(theirs.to(kind), mine.to(kind), share)

        rows = torch.cat([self.sample, other.sample])
        kept = torch.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().long()
        both = self.cross is not None and other.cross is not None
        return SiteStatistics(
            tokens=tokens,
            hessian=mean(self.hessian, other.hessian),
            mean=mean(self.mean, other.mean),
            mean_abs=mean(self.mean_abs, other.mean_abs),
            mean_fourth=mean(self.mean_fourth, other.mean_fourth),
            max_abs=torch.maximum(self.max_abs, other.max_abs),
            histogram=self.histogram + other.histogram,
            sample=rows[kept],
            cross=mean(self.cross, other.cross) if both else None,  # type: ignore[arg-type]
        )


_WIDE = ("hessian", "cross")
_PER_CHANNEL = ("mean", "mean_abs", "mean_fourth", "max_abs")
_STORED = ("tokens", "hessian", *_PER_CHANNEL, "histogram", "sample")


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """One decoder block: its sites' statistics by site name."""

    block: int
    sites: dict[str, SiteStatistics]

    def to_tensors(self) -> dict[str, Tensor]:
        """Plain tensors named `SITE.FIELD`, for safetensors."""
        return {
            f"{name}.{field}": tensor
            for name, site in self.sites.items()
            for field, tensor in site.to_tensors().items()
        }

    @classmethod
    def from_tensors(cls, block: int, tensors: Mapping[str, Tensor]) -> BlockStatistics:
        """The block that `to_tensors` took apart. Raises CorruptEntry as SiteStatistics does."""
        fields: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            site, _, field = key.partition(".")
            fields.setdefault(site, {})[field] = tensor
        return cls(block, {n: SiteStatistics.from_tensors(part) for n, part in fields.items()})


class Accumulator:
    """Running statistics of one site over a text whose token count is known.

    Memory does not grow with tokens: one or two matrices, a few vectors, 64 sampled rows.
    """

    def __init__(
        self, width: int, tokens: int, device: torch.device | str = "cpu", *, cross: bool = False
    ):
        def square() -> Tensor:
            return torch.zeros(width, width, dtype=torch.float32, device=device)

        self._hessian = square()
        self._cross = square() if cross else None
        self._moments = ChannelMoments.empty(width, device)
        self._wanted = sampled_tokens(tokens)
        self._sample: list[Tensor] = []
        self._seen = 0

    def add(
        self, x: Float[Tensor, "tokens width"], float_x: Float[Tensor, "tokens width"] | None = None
    ) -> None:
        """Add tokens; with a second stream, `x` is the quantized one and `float_x` the float."""
        add_second_moment(self._hessian, x)
        x = x.detach().float()
        if self._cross is not None:
            assert float_x is not None
            self._cross.addmm_(x.T, float_x.detach().float())
        add_moments(self._moments, x)
        here = (self._wanted >= self._seen) & (self._wanted < self._seen + len(x))
        self._sample.append(x[(self._wanted[here] - self._seen).to(x.device)].cpu())
        self._seen += len(x)

    def finish(self, name: str) -> SiteStatistics:
        """Means over everything that was added.

        Raises:
            NumericalError: an input of the site called `name` was NaN or infinite.
        """
        moments, tokens = self._moments, self._seen
        if not bool(moments.absolute.isfinite().all()):
            bad = int((~moments.absolute.isfinite()).sum())
            raise NumericalError(
                f"{name} has NaN or infinite inputs in {bad} channels",
                remedy="run the model in float32, or check its weights",
            )

        def mean(total: Tensor) -> Tensor:
            found = total / tokens
            fits = bool((found.abs() <= torch.finfo(torch.float32).max).all())
            return (found.float() if fits else found).cpu()

        upper = self._hessian.div_(tokens).triu_()
        return SiteStatistics(
            tokens=tokens,
            hessian=(upper + upper.triu(1).T).cpu(),
            mean=mean(moments.total),
            mean_abs=mean(moments.absolute),
            mean_fourth=mean(moments.fourth),
            max_abs=moments.largest.cpu(),
            histogram=moments.histogram.cpu(),
            sample=torch.cat(self._sample),
            cross=None if self._cross is None else self._cross.div_(tokens).cpu(),
        )


def sampled_tokens(tokens: int) -> Int[Tensor, " rows"]:
    """Which of `tokens` tokens are kept whole: sorted indices, at most 64, the first among them.

    A golden-ratio sequence: as even as equal spacing, yet in step with no window length, so that
    the first tokens of windows (where attention sinks live) keep their true share.
    """
    steps = torch.arange(min(SAMPLE, tokens), dtype=torch.float64)
    return torch.unique(((steps * _GOLDEN) % 1 * tokens).long())


def _corrupt(fact: str) -> CorruptEntry:
    return CorruptEntry(fact, remedy="clear the cache and capture again")
