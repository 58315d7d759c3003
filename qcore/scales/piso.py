"""PiSO: weight scales of exactly least output error (arXiv 2606.10890).

For one output channel, min over s of ‖Xw − s·X̃·q(w; s)‖², where q rounds w/s to nearest. Up to a
constant that is e = s²·qᵀHq − 2s·qᵀGw, piecewise parabolic in s, and `kernels.piso` visits every
piece. Which moments stand for H and G is the objective:

    self         H = X̃ᵀX̃, G = H     inputs of the quantized network; goes with GPTQ
    cross        H = X̃ᵀX̃, G = X̃ᵀX    against the float network's output; with RTN and Qronos
    unquantized  H = XᵀX,  G = H     inputs of the float network: one capture serves every recipe
    diagonal     H = G = diag XᵀX    inputs taken as uncorrelated: cheap, and not exact
    identity     H = G = I           no data: least weight error

`self` and `unquantized` are one computation on different captures. G's orientation:
`qcore.numerics.moments`.

**Groups.** *independent*: each group sees only its own blocks of H and G. *sequential*: groups in
falling Σ diag H; each one is fitted to what is left of the target when the groups done before it
are quantized and those to come are still float,

    t_g = (Gw)_g − Σ_{k ≠ g} H_gk v_k,    v_k = s_k q_k if done, else w_k.

*refine*: after either, the groups are gone through again with every v_k = s_k q_k until none
improves. Each step is exact for its group, so the channel's error falls monotonically.

Formats whose scales are powers of two get the exact best exponent by the same objective, and
formats with zero points an exact scale for each zero point tried: `qcore.scales.groupfit`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.formats.coding import require_finite
from qcore.formats.format import Format, ScaleType
from qcore.formats.quantized import Scales
from qcore.numerics.moments import correlation, require_moments
from qcore.scales.absmax import absmax
from qcore.scales.groupfit import (
    GroupFit,
    Search,
    ZeroPoints,
    dequantized,
    fit_group,
    rescore,
)

Objective = Literal["self", "cross", "unquantized", "diagonal", "identity"]
Grouping = Literal["independent", "sequential"]

REFINE_LIMIT = 64
"""Passes of refinement after which a channel that still improves is left as it is."""

IMPROVES = 1e-9
"""A group's new fit counts as better when it lowers |e| of its channel by more than this part."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through the groups.

    Attributes:
        name: `independent`, `sequential` or `refine`.
        seconds: CPU time.
        error: Σ over channels of ‖Xw − X̃ŵ‖² less the constant ‖Xw‖², after the pass.
        changed: groups whose scale or zero point the pass changed.
    """

    name: str
    seconds: float
    error: float
    changed: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Scales, and the passes that found them.

    Attributes:
        scales: see Scales.
        error: float64, of every channel: ‖Xw − X̃ŵ‖² less ‖Xw‖² under round to nearest.
        passes: the cost and the gain of each.
    """

    scales: Scales
    error: Float[Tensor, " out"]
    passes: tuple[Pass, ...]


def piso(
    weight: Float[Tensor, "out in"],
    fmt: Format,
    hessian: Float[Tensor, "in in"] | None,
    cross: Float[Tensor, "in in"] | None = None,
    *,
    objective: Objective = "self",
    grouping: Grouping = "sequential",
    refine: bool = False,
    signed: bool = False,
    storage: ScaleType = "float32",
    zero_points: ZeroPoints = "near",
) -> Scales:
    """Scales of exactly least output error; the arguments are those of `fit`, which see."""
    return fit(
        weight,
        fmt,
        hessian,
        cross,
        objective=objective,
        grouping=grouping,
        refine=refine,
        signed=signed,
        storage=storage,
        zero_points=zero_points,
    ).scales


def fit(
    weight: Float[Tensor, "out in"],
    fmt: Format,
    hessian: Float[Tensor, "in in"] | None,
    cross: Float[Tensor, "in in"] | None = None,
    *,
    objective: Objective = "self",
    grouping: Grouping = "sequential",
    refine: bool = False,
    signed: bool = False,
    storage: ScaleType = "float32",
    zero_points: ZeroPoints = "near",
) -> Fit:
    """Scales of exactly least output error, and what they cost.

    Args:
        weight: any float type.
        fmt: any Format.
        hessian: H, on any positive scale; unused, and may be None, for `identity`.
        cross: G = X̃ᵀX, for `cross` alone, on the scale of H.
        objective: see the module's text.
        grouping: how groups know of each other; all the same with one group to a channel.
        refine: coordinate descent over the groups until none improves.
        signed: allow negative scales of symmetric integer formats: the longer side of [−8, 7] then
            serves whichever sign of the weights needs it. Costs a second sweep.
        storage: the type that holds an integer format's scales; the scales returned are float32
            numbers that it represents exactly, and were scored as such.
        zero_points: of asymmetric formats, see `qcore.scales.groupfit`.

    Raises:
        InvalidRecipe: moments that do not fit the weight or the objective, or a group that does
            not divide the width.
        NumericalError: NaN or an infinity; an H that is not symmetric.
        NotPositiveDefinite: an H with a negative eigenvalue beyond rounding.
    """
    h, g = _moments(weight, hessian, cross, objective)
    state = _Descent(weight.float().double(), h, g, fmt, Search(storage, signed, zero_points))
    passes = [state.first_pass(grouping)]
    while refine and state.may_improve and len(passes) <= REFINE_LIMIT:
        passes.append(state.refine_pass())
    return Fit(state.scales(), state.error(), tuple(passes))


def _moments(
    weight: Tensor, hessian: Tensor | None, cross: Tensor | None, objective: Objective
) -> tuple[Tensor, Tensor]:
    """H and G in double; one-dimensional where they are diagonal."""
    if objective == "identity":
        require_finite("weight", weight)
        ones = torch.ones(weight.shape[1], dtype=torch.float64, device=weight.device)
        return ones, ones
    if hessian is None or (cross is None) == (objective == "cross"):
        needs = "the Hessian and the cross moment" if objective == "cross" else "the Hessian alone"
        raise InvalidRecipe(f"objective {objective!r} uses {needs}", remedy="pass exactly those")
    require_moments(weight, hessian, cross)
    if objective == "diagonal":
        diagonal = hessian.diagonal().double()
        return diagonal, diagonal
    double = hessian.double()
    return double, double if cross is None else cross.double()


class _Descent:
    """Every group's fit so far, the values they give, and the channels that still change."""

    def __init__(self, rows: Tensor, hessian: Tensor, cross: Tensor, fmt: Format, how: Search):
        count = fmt.groups(rows.shape[1])
        size = rows.shape[1] // count
        self._rows, self._hessian, self._cross = rows, hessian, cross
        self._fmt, self._how = fmt, how
        self._target = rows * cross if cross.dim() == 1 else correlation(rows, cross)
        self._groups = [slice(at * size, (at + 1) * size) for at in range(count)]
        # Where the descent over zero points starts, in formats that have them.
        first = absmax(rows, fmt)
        self._zero = torch.zeros_like(first.scale) if first.zero is None else first.zero
        self._fits: list[GroupFit] = []
        self._values = rows.clone()
        self._active = torch.arange(len(rows), device=rows.device)

    @property
    def may_improve(self) -> bool:
        """Whether groups are coupled and the last pass changed anything."""
        return len(self._groups) > 1 and self._hessian.dim() == 2 and len(self._active) > 0

    def first_pass(self, grouping: Grouping) -> Pass:
        began = time.process_time()
        fits: dict[int, GroupFit] = {}
        for g in self._order():
            part = self._groups[g]
            zero = self._zero[:, g].clone()
            target = self._own(part) if grouping == "independent" else self._left(part)
            block = self._block(part)
            fits[g] = fit_group(self._rows[:, part], block, target, self._fmt, self._how, zero)
            if len(self._groups) > 1:
                self._values[:, part] = dequantized(self._rows[:, part], fits[g], self._fmt)
        self._fits = [fits[g] for g in range(len(self._groups))]
        changed = len(self._rows) * len(self._groups)
        return Pass(grouping, time.process_time() - began, float(self.error().sum()), changed)

    def refine_pass(self) -> Pass:
        """Once more through the groups, on the rows that the last pass changed."""
        began = time.process_time()
        scale_of_error = self.error().abs()
        active, moved = self._active, torch.zeros(len(self._rows), dtype=torch.long)
        moved = moved.to(self._rows.device)
        for g in self._order():
            part, block = self._groups[g], self._block(self._groups[g])
            rows, old = self._rows[active, part], self._fits[g][active]
            target = self._left(part, active)
            now = rescore(self._values[active, part], block, target)
            new = fit_group(rows, block, target, self._fmt, self._how, old.zero)
            better = new.error < now - IMPROVES * scale_of_error[active]
            chosen = active[better]
            self._values[chosen, part] = dequantized(rows[better], new[better], self._fmt)
            self._fits[g].scale[chosen] = new.scale[better]
            self._fits[g].zero[chosen] = new.zero[better]
            moved[chosen] += 1
        self._active = moved.nonzero()[:, 0]
        return Pass(
            "refine",
            time.process_time() - began,
            float(self.error().sum()),
            int(moved.sum()),
        )

    def error(self) -> Tensor:
        """The error of every channel, e of the module's text, all groups together."""
        if len(self._groups) == 1:
            return self._fits[0].error
        return rescore(self._values, self._hessian, self._target)

    def scales(self) -> Scales:
        scale = torch.stack([fit.scale for fit in self._fits], dim=1)
        zero = torch.stack([fit.zero for fit in self._fits], dim=1)
        return Scales(scale, None if self._fmt.symmetric else zero)

    def _own(self, part: slice) -> Tensor:
        """G_gg w_g: what the group should correlate with if it were alone."""
        if self._cross.dim() == 1:
            return self._target[:, part]
        return correlation(self._rows[:, part], self._cross[part, part])

    def _left(self, part: slice, channels: Tensor | None = None) -> Tensor:
        """t_g of the module's text, for all channels or some."""
        values, target = self._values, self._target[:, part]
        if channels is not None:
            values, target = values[channels], target[channels]
        if self._hessian.dim() == 1 or len(self._groups) == 1:
            return target  # nothing but the group itself
        others = self._hessian[:, part].clone()
        others[part] = 0.0
        return target - values @ others

    def _order(self) -> list[int]:
        diagonal = self._hessian if self._hessian.dim() == 1 else self._hessian.diagonal()
        mass = torch.stack([diagonal[part].sum() for part in self._groups])
        return torch.argsort(mass, descending=True, stable=True).tolist()

    def _block(self, part: slice) -> Tensor:
        return self._hessian[part] if self._hessian.dim() == 1 else self._hessian[part, part]
