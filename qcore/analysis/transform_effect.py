"""What a transform does to the outliers in one site's input, as small arrays to be drawn.

The sampled tokens X [tokens, d] are looked at in up to four states: as they are, permuted (XP),
rotated with the order kept (XR), and permuted and rotated (XPR). `SampledTokens` hold per token

    kurtosis, ‖x‖∞ / RMS(x), ‖x‖∞           (`qcore.analysis.outliers`)

and a picture of at most 200 × 64 cells. What a rotation makes of one order of the channels is a
`RotationEffect`: the ℓ1 mass that every block holds against the mean over blocks, the bound
max_j ‖x_(j)‖₁ / √b against the actual ‖xR‖∞, and the blocks whose peak the rotation raised
(MixQuant, arXiv 2601.22347, §3).

*What is over how many tokens.* Masses come from E|x|, over all calibration tokens. The rest comes
from the tokens that were kept whole, 64 at most: E|xR| is not determined by any statistic of x.
*Units.* A cell of the picture is in units of its token's RMS, so that a token of massive
activations does not turn all others black; dynamic quantization scales per token too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qcore.analysis.outliers import (
    block_l1,
    block_peak,
    ideal_bound,
    kurtosis,
    peak_bound,
    peak_to_rms,
    worsened_blocks,
)

CELLS = 200
"""The most rows of a picture; each shows the peak of as many channels as it takes."""

FLAGGED_FROM = 2 / 3
"""A block is flagged when the rotation raised its peak in more than this share of the tokens.

A rotation that changes nothing, as of Gaussian features, raises half of them by chance; of 64
tokens it raises more than two thirds once in three hundred blocks.
"""

BINS_PER_OCTAVE = 8
_SKETCH_BINS_PER_OCTAVE = 64
_LEFT_OUT = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """The distribution of |x| on a log axis.

    Attributes:
        magnitude: the geometric middle of every bin, rising.
        density: share of all values per octave of magnitude.
    """

    magnitude: Float[np.ndarray, " bins"]
    density: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, eq=False)
class SampledTokens:
    """The sampled tokens at one point of the transform; float32.

    Attributes:
        picture: the largest |x| of every cell, in units of the token's RMS.
        channels: channels to a row of the picture; the last row may hold fewer.
        kurtosis: of every token over its channels; NaN for a constant one.
        peak_to_rms: of every token; NaN for one of zeros.
        peak: ‖x‖∞ of every token.
    """

    picture: Float[np.ndarray, "rows tokens"]
    channels: int
    kurtosis: Float[np.ndarray, " tokens"]
    peak_to_rms: Float[np.ndarray, " tokens"]
    peak: Float[np.ndarray, " tokens"]


@dataclass(frozen=True, slots=True, eq=False)
class RotationEffect:
    """The effect of the rotation on one order of the channels; float32.

    Attributes:
        ordered: the tokens in this order.
        rotated: the same, rotated.
        mass: E‖x_(j)‖₁ of every block, over all calibration tokens.
        bound: max_j ‖x_(j)‖₁ / √b of every token.
        ideal: √b ‖x‖₁ / d of every token: the least bound that any order can reach.
        peak_before: mean over tokens of every block's peak.
        peak_after: the same after the rotation.
        worse: share of the tokens in which the block's peak rose.
    """

    ordered: SampledTokens
    rotated: SampledTokens
    mass: Float[np.ndarray, " blocks"]
    bound: Float[np.ndarray, " tokens"]
    ideal: Float[np.ndarray, " tokens"]
    peak_before: Float[np.ndarray, " blocks"]
    peak_after: Float[np.ndarray, " blocks"]
    worse: Float[np.ndarray, " blocks"]

    @property
    def imbalance(self) -> float:
        """The heaviest block's mass over the mean of all blocks: 1 is ideal."""
        mean = float(self.mass.mean())
        return float(self.mass.max()) / mean if mean else 1.0

    @property
    def flagged(self) -> Int[np.ndarray, " some"]:
        """Blocks whose peak the rotation raised in more than two thirds of the tokens."""
        return np.flatnonzero(self.worse > FLAGGED_FROM)


@dataclass(frozen=True, slots=True)
class Measures:
    """One site in five numbers, for the map of all layers and sites.

    Attributes:
        kurtosis: E x⁴ / (E x²)², all tokens and channels together; 3 for a normal distribution.
        peak_to_rms: max|x| / √E x², all tokens and channels together.
        token_kurtosis: median over the sampled tokens of each token's own kurtosis.
        token_peak_to_rms: median over the sampled tokens of each token's own ‖x‖∞ / RMS.
        imbalance: the heaviest block's share of E‖x‖₁ over the mean share, in blocks of 32
            channels (or the largest power of two below that divides).
    """

    kurtosis: float
    peak_to_rms: float
    token_kurtosis: float
    token_peak_to_rms: float
    imbalance: float


def look(x: Float[Tensor, "tokens d"]) -> SampledTokens:
    """The tokens as a picture and in numbers."""
    channels = max(1, -(-x.shape[1] // CELLS))
    return SampledTokens(
        picture=_array(_picture(x, channels)),
        channels=channels,
        kurtosis=_array(kurtosis(x)),
        peak_to_rms=_array(peak_to_rms(x)),
        peak=_array(x.abs().amax(-1)),
    )


def compare(
    ordered: Float[Tensor, "tokens d"],
    rotated: Float[Tensor, "tokens order"],
    mean: Float[Tensor, " d"],
    block: int,
) -> RotationEffect:
    """Measure the effect of a rotation in blocks of `block` on tokens in the order it took them.

    Args:
        ordered: tokens before the rotation.
        rotated: the same tokens after it; more features than before when the input was expanded.
        mean: E|x_i| over all calibration tokens, in the order of `ordered`.
        block: features to a block; all of them for a full rotation.

    Raises:
        InvalidRecipe: the block does not divide the rotated features.
    """
    order = rotated.shape[-1]
    return RotationEffect(
        ordered=look(ordered),
        rotated=look(rotated),
        mass=_array(block_l1(mean, block, order)),
        bound=_array(peak_bound(ordered, block, order)),
        ideal=_array(ideal_bound(ordered, block, order)),
        peak_before=_array(block_peak(ordered, block, order).mean(0)),
        peak_after=_array(block_peak(rotated, block).mean(0)),
        worse=_array(worsened_blocks(ordered, rotated, block).float().mean(0)),
    )


def density(counts: Int[Tensor, " bins"], edges: Float[Tensor, " edges"]) -> Density:
    """A log histogram's counts as a density per octave, in eighths of an octave.

    Zeros, and the smallest 0.01 % of all values, are left out of the curve but not of the total:
    the density says what share of *all* values lies at a magnitude.

    Args:
        counts: by bin of the sketch, 64 to an octave; bins beyond the last edge are ignored.
        edges: lower edges of the bins and the upper edge of the last.
    """
    merged = _SKETCH_BINS_PER_OCTAVE // BINS_PER_OCTAVE
    share = counts[: len(edges) - 1].double() / max(int(counts.sum()), 1)
    share = share.view(-1, merged).sum(1)
    kept = (share > 0) & (share.cumsum(0) > _LEFT_OUT)
    kept[0] = False  # the bin in which zeros are counted has no place on a log axis
    places = kept.nonzero().flatten()
    if not len(places):
        return Density(np.zeros(0, np.float32), np.zeros(0, np.float32))
    span = slice(int(places[0]), int(places[-1]) + 1)
    low, high = edges[:-1:merged][span], edges[merged::merged][span]
    return Density(
        magnitude=_array((low * high).sqrt()), density=_array(share[span] / (high / low).log2())
    )


def measure(
    sample: Float[Tensor, "tokens d"],
    mean_abs: Float[Tensor, " d"],
    max_abs: Float[Tensor, " d"],
    mean_square: Float[Tensor, " d"],
    mean_fourth: Float[Tensor, " d"],
) -> Measures:
    """A site in five numbers, from its statistics.

    A number that has no meaning (a site of zeros) is 0: it stands for no outliers.
    """
    second, fourth = (float(part.double().mean()) for part in (mean_square, mean_fourth))
    if not (math.isfinite(second) and math.isfinite(fourth)):  # beyond float32: the sample's own
        second, fourth = (float(sample.double().pow(power).mean()) for power in (2, 4))
    block = min(32, len(mean_abs) & -len(mean_abs))
    mass = block_l1(mean_abs.double(), block)
    total = float(mass.mean())
    return Measures(
        kurtosis=fourth / second**2 if second else 0.0,
        peak_to_rms=float(max_abs.max()) / second**0.5 if second else 0.0,
        token_kurtosis=_median(kurtosis(sample)),
        token_peak_to_rms=_median(peak_to_rms(sample)),
        imbalance=float(mass.max()) / total if total else 0.0,
    )


def _picture(x: Float[Tensor, "tokens d"], channels: int) -> Float[Tensor, "rows tokens"]:
    scale = x.float().square().mean(-1, keepdim=True).sqrt()
    relative = (x.float() / scale.clamp_min(torch.finfo(torch.float32).tiny)).abs()
    padding = -x.shape[1] % channels
    padded = torch.nn.functional.pad(relative, (0, padding))
    return padded.unflatten(-1, (-1, channels)).amax(-1).T


def _median(values: Tensor) -> float:
    known = values[values.isfinite()]
    return float(known.double().quantile(0.5)) if len(known) else 0.0


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.float().numpy())
