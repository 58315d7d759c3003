"""A histogram of magnitudes on a log axis, read straight from the floats' bits.

A positive float32 is 2^(e−127) · 1.m: its bit pattern, read as an integer, grows with its value.
Dropping all but the top `MANTISSA_BITS` bits of m therefore numbers bins that are 1/64 of an octave
to the left of each power of two and equally wide between two of them:

    bin(x) = bits(|x|) >> (23 − MANTISSA_BITS)

No logarithm and no range chosen beforehand; counts of two texts add; a quantile read at the middle
of its bin is within 1/128 = 0.8 % of the value. bfloat16 values have the same top bits.

The same pass sums what the outlier page needs of every channel. `add_moments_reference` is the
truth; on the CPU a compiled twin does all of it while a row is in the cache.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.dispatch import Implementation, Twin, choose

MANTISSA_BITS = 6
SHIFT = 23 - MANTISSA_BITS
BINS = 1 << (8 + MANTISSA_BITS)
"""One bin per exponent and leading mantissa bits; the last 64 hold infinities and NaN."""

_ROWS_AT_ONCE = 4096


@dataclass(slots=True)
class ChannelMoments:
    """Running sums over tokens of one site's input, per channel; plain and mergeable.

    Attributes:
        histogram: int64 counts of |x| over all channels, by bin.
        total: Σ x, float64, as are the others.
        absolute: Σ |x|.
        fourth: Σ x⁴.
        largest: max |x|, float32.
    """

    histogram: Int[Tensor, " bins"]
    total: Float[Tensor, " width"]
    absolute: Float[Tensor, " width"]
    fourth: Float[Tensor, " width"]
    largest: Float[Tensor, " width"]

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> ChannelMoments:
        """Moments of no tokens at all."""

        def zeros(dtype: torch.dtype, size: int = width) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        total, absolute, fourth = (zeros(torch.float64) for _ in range(3))
        histogram, largest = zeros(torch.int64, BINS), zeros(torch.float32)
        return cls(histogram, total, absolute, fourth, largest)


def add_moments(
    moments: ChannelMoments,
    x: Float[Tensor, "tokens width"],
    *,
    implementation: Implementation | None = None,
) -> None:
    """Add the tokens of `x` to `moments`, in place; `implementation` as in `kernels.dispatch`."""
    twins: dict[Twin, str | None] = {"compiled": None if x.numel() else "nothing to add"}
    if (
        choose("outlier sketch", x.device, twins, implementation=implementation).implementation
        == "compiled"
    ):
        values = np.ascontiguousarray(x.detach().float().numpy())
        _compiled()(
            values,
            moments.histogram.numpy(),
            moments.total.numpy(),
            moments.absolute.numpy(),
            moments.fourth.numpy(),
            moments.largest.numpy(),
        )
    else:
        for part in x.detach().split(_ROWS_AT_ONCE):
            add_moments_reference(moments, part)


def add_moments_reference(moments: ChannelMoments, x: Float[Tensor, "tokens width"]) -> None:
    """Add moments as `add_moments` does, in torch alone: the truth, and what runs on a GPU."""
    if not x.numel():
        return
    wide = x.double()
    magnitude = x.float().abs()
    moments.histogram += torch.bincount(bins_of(x).flatten(), minlength=BINS)
    moments.total += wide.sum(dim=0)
    moments.absolute += wide.abs().sum(dim=0)
    moments.fourth += wide.pow(4).sum(dim=0)
    torch.maximum(moments.largest, magnitude.amax(dim=0), out=moments.largest)


def bins_of(x: Float[Tensor, " *shape"]) -> Int[Tensor, " *shape"]:
    """Index of the bin that holds each |x|, int64."""
    bits = x.float().contiguous().view(torch.int32) & 0x7FFFFFFF
    return (bits >> SHIFT).long()


def bin_edges() -> Float[Tensor, " edges"]:
    """Lower edges of the finite bins and the upper edge of the last one (infinity), float64."""
    codes = torch.arange((255 << MANTISSA_BITS) + 1, dtype=torch.int32) << SHIFT
    return codes.view(torch.float32).double()


def quantile(histogram: Int[Tensor, " bins"], share: float) -> float:
    """The magnitude that a `share` of all values does not exceed, to 0.8 %.

    Raises:
        ValueError: nothing was counted, or `share` is not within 0 and 1.
    """
    counts = histogram.cpu()
    seen = int(counts.sum())
    if not seen or not 0 <= share <= 1:
        raise ValueError(f"no quantile {share} of {seen} values")
    rank = max(1, min(seen, int(np.ceil(share * seen))))
    place = int(torch.searchsorted(counts.cumsum(0), rank))
    edges = bin_edges()
    if place >= len(edges) - 1:
        return float("inf")
    # The middle, and exactly 0 for the bin in which zeros are counted.
    return float(edges[place] + edges[place + 1]) / 2 if place else 0.0


@functools.cache
def _compiled():
    """The fused loop, compiled on first use and kept on disk beside this module by numba."""
    import numba

    # "nsz contract": sums may fuse multiply and add, and nothing else is relaxed, so NaN stays NaN.
    @numba.njit(cache=True, nogil=True, fastmath={"nsz", "contract"})
    def moments(x, histogram, total, absolute, fourth, largest):  # pragma: no cover
        tokens, width = x.shape
        for row in range(tokens):
            values = x[row]
            codes = values.view(np.uint32)
            for column in range(width):
                value = np.float64(values[column])
                size = abs(value)
                square = value * value
                total[column] += value
                absolute[column] += size
                fourth[column] += square * square
                largest[column] = max(largest[column], np.float32(size))
            for column in range(width):
                histogram[(codes[column] & np.uint32(0x7FFFFFFF)) >> np.uint32(SHIFT)] += 1

    return moments
