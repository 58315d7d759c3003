"""One channel's error as a function of its scale: the picture that explains PiSO.

For given codes q the output error is a parabola in the scale s. Codes change at transition scales,
so the error that rounding to nearest really makes jumps from parabola to parabola:

    E(s) = ‖Xw‖² + s²β_k − 2sα_k    for s in piece k,    α_k = q_kᵀGw, β_k = q_kᵀHq_k.

`channel_objective` lists the pieces; `sample` and, where they are too many to be seen, `envelope`
draw the curve; `landings` says where given methods come down on it. Plain float64 arrays, no more
than a page needs to draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kernels.piso.operation import products
from kernels.piso.values import score, sides
from qcore.errors import InvalidRecipe
from qcore.numerics.moments import correlation, require_moments

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class ChannelObjective:
    """The pieces of E(s) for s > 0, by falling scale.

    Attributes:
        high: [pieces], where the piece begins; infinite for the first, in which every code is zero.
        low: [pieces], where it ends, the next transition scale; 0 for the last.
        alpha: [pieces], qᵀGw.
        beta: [pieces], qᵀHq.
        best_scale: [pieces], the scale in [low, high] at which the piece's parabola is least.
        best_error: [pieces], E there, relative to ‖Xw‖².
        energy: ‖Xw‖², on the scale of H.
    """

    high: Array
    low: Array
    alpha: Array
    beta: Array
    best_scale: Array
    best_error: Array
    energy: float

    @property
    def best(self) -> int:
        """The piece that holds the least error of all."""
        return int(np.argmin(self.best_error))

    def error(self, scale: Array) -> Array:
        """E at any scales > 0, relative to ‖Xw‖²; at a transition, that of the piece above it."""
        return self.parabola(self.piece(scale), scale)

    def piece(self, scale: Array) -> Array:
        """Which piece each scale > 0 lies in; at a transition, the one above it."""
        found = np.searchsorted(-self.low, -np.asarray(scale), side="left")
        return np.minimum(found, len(self.low) - 1)

    def parabola(self, piece: Array | int, scale: Array) -> Array:
        """E at these scales, if the codes were those of the given pieces."""
        s = np.asarray(scale, dtype=np.float64)
        return 1.0 + s * (s * self.beta[piece] - 2.0 * self.alpha[piece]) / self.energy


@dataclass(frozen=True, slots=True)
class Landing:
    """A method's scale, and E at it relative to ‖Xw‖²."""

    scale: float
    error: float


@dataclass(frozen=True, slots=True)
class Curve:
    """E between two scales, piece by piece.

    Attributes:
        scale: rising; the two ends of every piece stand just inside it.
        error: E there, relative to ‖Xw‖².
        piece: the piece that each point belongs to.
    """

    scale: Array
    error: Array
    piece: Array


@dataclass(frozen=True, slots=True)
class Envelope:
    """Between which values E runs, bin by bin of equal ratio.

    Attributes:
        edge: [bins + 1], rising scales.
        least: [bins], the least E in the bin.
        most: [bins], the largest; on either side of a transition that is an edge.
    """

    edge: Array
    least: Array
    most: Array


def channel_objective(
    channel: Float[Tensor, " in"],
    grid: Float[Tensor, " points"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, " in"],
    cross: Float[Tensor, "in in"] | None = None,
    *,
    energy: float | None = None,
    checked: bool = False,
) -> ChannelObjective:
    """All pieces of one output channel's error, in float64.

    Args:
        channel: one row of a weight.
        grid: element values at scale 1, sorted, with 0 in it.
        hessian: X̃ᵀX̃; one dimension means its diagonal.
        cross: X̃ᵀX (`qcore.numerics.moments`); None where inputs are the float ones.
        energy: ‖Xw‖² on the scale of H; wᵀHw where it is not given, which it is exactly without
            `cross`.
        checked: the moments have passed `require_moments` before, which takes longer than all the
            rest; a diagonal is not looked at.

    Raises:
        InvalidRecipe: moments that do not fit, or a channel whose output is zero.
        NumericalError: NaN or an infinity; an H that is no X̃ᵀX̃.
    """
    if not checked and hessian.dim() == 2:
        require_moments(channel[None], hessian, cross)
    w, h = channel.double(), hessian.double()
    hw = h * w if h.dim() == 1 else h @ w
    aim = hw if cross is None else correlation(w[None], cross.double())[0]
    total = float(w @ hw) if energy is None else energy
    if total <= 0.0:
        raise InvalidRecipe(
            f"the channel's output has the energy {total:.3g}",
            remedy="choose a channel that is not zero on the calibration text",
        )
    scale, entry, step = _transitions(w, grid)
    alpha, beta = _parabolas(h, aim.numpy(force=True), entry, step)
    high, low = np.concatenate([[np.inf], scale]), np.concatenate([scale, [0.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(beta > 0, alpha / beta, np.where(alpha > 0, np.inf, 0.0))
    best_scale = np.clip(free, low, high)
    best_scale[0] = 2.0 * scale[0] if len(scale) else 1.0  # all codes zero: any scale will do
    best_error = 1.0 + best_scale * (best_scale * beta - 2.0 * alpha) / total
    return ChannelObjective(high, low, alpha, beta, best_scale, best_error, total)


def sample(objective: ChannelObjective, low: float, high: float, points: int = 400) -> Curve:
    """The curve between two scales, rising, for a line on a logarithmic axis.

    Every transition inside gets a point just above and just below, so jumps are drawn as jumps.
    """
    inside = objective.low[(objective.low > low) & (objective.low < high)]
    scale = np.unique(
        np.concatenate(
            [
                np.geomspace(low, high, points),
                inside * (1 - 1e-9),
                inside * (1 + 1e-9),
            ]
        )
    )
    piece = objective.piece(scale)
    return Curve(scale, objective.parabola(piece, scale), piece)


def envelope(objective: ChannelObjective, low: float, high: float, bins: int = 400) -> Envelope:
    """Bounds of the curve between two scales, for more pieces than can be drawn.

    A piece counts with its least value and those at its ends, in the bin of each; a bin without
    any takes the curve's values at its edges.
    """
    edge = np.geomspace(low, high, bins + 1)
    inner = np.clip(objective.best_scale, objective.low, objective.high)
    ends = objective.low[:-1]
    scale = np.concatenate([inner, ends, ends, edge])
    value = np.concatenate(
        [
            objective.best_error,
            objective.parabola(np.arange(len(ends)), ends),
            objective.parabola(np.arange(1, len(ends) + 1), ends),
            objective.error(edge),
        ]
    )
    at = np.searchsorted(edge, scale, side="right") - 1
    least, most = np.full(bins, np.inf), np.full(bins, -np.inf)
    for place in (at, at - (scale == edge[np.clip(at, 0, bins)])):  # an edge is in both bins
        inside = (place >= 0) & (place < bins)
        np.minimum.at(least, place[inside], value[inside])
        np.maximum.at(most, place[inside], value[inside])
    return Envelope(edge, least, most)


def landings(
    channel: Float[Tensor, " in"],
    grid: Float[Tensor, " points"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, " in"],
    cross: Float[Tensor, "in in"] | None,
    scales: Mapping[str, float],
    objective: ChannelObjective,
) -> dict[str, Landing]:
    """Score each named scale afresh, with the codes that it really gives.

    Negative scales are scored as well, though the curve is drawn for positive ones.
    """
    w, h = channel.double()[None], hessian.double()
    own = w * h if h.dim() == 1 else w @ h
    aim = own if cross is None else correlation(w, cross.double())
    found = {}
    for name, scale in scales.items():
        error = score(w, torch.tensor([scale], dtype=torch.float64), grid, h, aim)
        found[name] = Landing(float(scale), 1.0 + float(error) / objective.energy)
    return found


def _transitions(w: Tensor, grid: Tensor) -> tuple[Array, Array, Array]:
    """(scale, entry, step) of every transition, scales falling."""
    positive, negative = sides(grid)
    values = w.numpy(force=True)
    parts = [
        (np.abs(values[chosen])[:, None] / np.array(side.middle), chosen, sign * np.array(side.gap))
        for chosen, side, sign in (
            (np.flatnonzero(values > 0), positive, 1.0),
            (np.flatnonzero(values < 0), negative, -1.0),
        )
    ]
    scale = np.concatenate([scales.ravel() for scales, _, _ in parts])
    entry = np.concatenate([np.repeat(chosen, len(gap)) for _, chosen, gap in parts])
    step = np.concatenate([np.tile(gap, len(chosen)) for _, chosen, gap in parts])
    order = np.argsort(-scale, kind="stable")
    return scale[order], entry[order], step[order]


def _parabolas(hessian: Tensor, aim: Array, entry: Array, step: Array) -> tuple[Array, Array]:
    """α and β of every piece, from all codes zero on."""
    diagonal = (hessian if hessian.dim() == 1 else hessian.diagonal()).numpy(force=True)
    change = step * (2.0 * products(entry, step, hessian.cpu()) + step * diagonal[entry])
    return _sums_from_zero(step * aim[entry]), _sums_from_zero(change)


def _sums_from_zero(steps: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(steps)])
