"""The best scale of one group of every output channel, exactly, for each kind of Format.

All minimise e = s²·qᵀHq − 2s·qᵀt over the group's scale, where q are the nearest element values
at that scale, H is the group's own block of the Hessian and t what the group should correlate with
(Gw of the group, less what other groups already contribute). Three cases:

- symmetric integers: PiSO on the integer grid (`kernels.piso.operation`);
- integers with a zero point z: for a given z the grid is [−z, 2^b − 1 − z], which contains 0, so
  PiSO is exact in s. Over z either the given one (`fixed`), all 2^b of them (`all`: the exact
  joint optimum, and the sign of s is covered, since −s with z is s with 2^b − 1 − z), or `near`,
  the default: all of them up to 4 bits; beyond, a walk to either side of the given one that ends
  when `PATIENCE` in a row were no better, since e over z has many local minima. The range of a
  group already says nearly where zero lies; docs/piso.md says how far off the walk may end;
- microscaling: the scale is a power of two, so there are only as many candidates as there are
  exponents between "everything rounds to zero" and "everything saturates", and each is scored with
  the very rounding that will be used. That is exact, and cheaper than a sweep. The sweep would be
  wrong here: weights that came as 16-bit floats fall exactly on ties at power-of-two scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.dispatch import choose
from kernels.elements.values import nearest
from kernels.piso.operation import search
from qcore.formats.coding import element_of, grid
from qcore.formats.format import Format, ScaleType
from qcore.formats.quantized import SCALE_TYPES

ZeroPoints = Literal["near", "fixed", "all"]

EXACT_ZEROS = 16
"""Up to so many zero points (4 bits) `near` tries all: at most twice the cost of a descent."""

PATIENCE = 4
"""Beyond, a walk over zero points ends after so many in a row that were no better."""

LOWEST_EXPONENT, HIGHEST_EXPONENT = -127, 127
"""What E8M0 holds."""


@dataclass(frozen=True, slots=True)
class GroupFit:
    """One scale, and zero point where the format has them, for each row.

    Attributes:
        scale: float32, storable.
        zero: whole numbers as float32; zeros where the format has no zero points.
        error: float64, e of the module's text.
    """

    scale: Float[Tensor, " rows"]
    zero: Float[Tensor, " rows"]
    error: Float[Tensor, " rows"]

    def where(self, better: Tensor, other: GroupFit) -> GroupFit:
        """This fit, with the rows that are `better` taken from the other one."""
        return GroupFit(
            torch.where(better, other.scale, self.scale),
            torch.where(better, other.zero, self.zero),
            torch.where(better, other.error, self.error),
        )

    def __getitem__(self, rows: Tensor) -> GroupFit:
        return GroupFit(self.scale[rows], self.zero[rows], self.error[rows])


@dataclass(frozen=True, slots=True)
class Search:
    """The settings of a search, besides the format.

    Attributes:
        storage: the type that will hold an integer format's scale.
        signed: negative scales too, where the grid is symmetric-integer.
        zero_points: see the module's text.
    """

    storage: ScaleType = "float32"
    signed: bool = False
    zero_points: ZeroPoints = "near"


def fit_group(
    rows: Float[Tensor, "rows group"],
    hessian: Float[Tensor, "group group"] | Float[Tensor, " group"],
    target: Float[Tensor, "rows group"],
    fmt: Format,
    how: Search,
    zero: Float[Tensor, " rows"],
) -> GroupFit:
    """The fit of least e; `zero` is the zero point to start from, for formats that have one."""
    if fmt.kind == "mx":
        return _power_of_two(rows, hessian, target, fmt, zero)
    if fmt.symmetric:
        found = search(
            rows, grid(fmt), hessian, target, storage=SCALE_TYPES[how.storage], signed=how.signed
        )
        return GroupFit(found.scale.float(), zero, found.error)
    return _with_zero(rows, hessian, target, fmt, how, zero)


def dequantized(
    rows: Float[Tensor, "rows group"], fit: GroupFit, fmt: Format
) -> Float[Tensor, "rows group"]:
    """The values that the rows take when rounded to nearest, float64."""
    zero = None if fmt.symmetric else fit.zero[:, None]
    codes = nearest(rows.float() / fit.scale[:, None], element_of(fmt), zero)
    return codes.double() * fit.scale[:, None].double()


def rescore(
    values: Float[Tensor, "rows group"],
    hessian: Float[Tensor, "group group"] | Float[Tensor, " group"],
    target: Float[Tensor, "rows group"],
) -> Float[Tensor, " rows"]:
    """E of dequantized values, float64."""
    moved = values * hessian if hessian.dim() == 1 else values @ hessian
    return torch.linalg.vecdot(values, moved - 2 * target)


def _at_zero(rows, hessian, target, fmt: Format, how: Search, zero: Tensor) -> GroupFit:
    """The exact scale for given zero points: one sweep for each distinct one."""
    scale, error = torch.ones_like(zero), torch.zeros(len(zero), dtype=torch.float64)
    error = error.to(zero.device)
    for value in zero.unique():
        part = zero == value
        found = search(
            rows[part],
            grid(fmt) - value.cpu(),
            hessian,
            target[part],
            storage=SCALE_TYPES[how.storage],
        )
        scale[part], error[part] = found.scale.float(), found.error
    return GroupFit(scale, zero, error)


def _with_zero(rows, hessian, target, fmt: Format, how: Search, zero: Tensor) -> GroupFit:
    best = _at_zero(rows, hessian, target, fmt, how, zero)
    few = how.zero_points == "near" and fmt.high - fmt.low < EXACT_ZEROS
    if how.zero_points == "all" or few:
        for value in range(fmt.low, fmt.high + 1):
            fit = _at_zero(rows, hessian, target, fmt, how, torch.full_like(zero, value))
            best = best.where(fit.error < best.error, fit)
    elif how.zero_points == "near":
        for direction in (-1, 1):
            best = _walk(rows, hessian, target, fmt, how, zero, best, direction)
    return best


def _walk(
    rows, hessian, target, fmt: Format, how: Search, zero: Tensor, best: GroupFit, direction: int
) -> GroupFit:
    """`best`, or what a walk over the zero points to one side of `zero` finds better."""
    best = GroupFit(best.scale.clone(), best.zero.clone(), best.error.clone())
    active, tried = torch.arange(len(zero), device=zero.device), zero.clone()
    misses = torch.zeros_like(zero)
    while len(active):
        tried[active] += direction
        active = active[(tried[active] >= fmt.low) & (tried[active] <= fmt.high)]
        fit = _at_zero(rows[active], hessian, target[active], fmt, how, tried[active])
        better = fit.error < best.error[active]
        found = active[better]
        best.scale[found], best.zero[found] = fit.scale[better], fit.zero[better]
        best.error[found] = fit.error[better]
        misses[active] = torch.where(better, 0.0, misses[active] + 1)
        active = active[misses[active] < PATIENCE]
    return best


def _power_of_two(rows, hessian, target, fmt: Format, zero: Tensor) -> GroupFit:
    """Every exponent that could matter, scored with the rounding that will be used."""
    choose("scale by power of two", rows.device, {})
    values = grid(fmt)
    step = float(values[values > 0].min())
    peak = rows.abs().amax(1)
    least = torch.where(rows == 0, torch.inf, rows.abs()).amin(1)
    high = _exponent(peak / step) + 1  # above it everything rounds to zero
    low = _exponent(least / float(values.max())) - 1  # below it everything saturates
    low, high = (
        torch.where(peak > 0, bound, 0.0).clamp(LOWEST_EXPONENT, HIGHEST_EXPONENT)
        for bound in (low, high)
    )
    best = GroupFit(
        torch.exp2(high).float(),
        zero,
        torch.full((len(rows),), torch.inf, dtype=torch.float64, device=rows.device),
    )
    for down in range(int((high - low).max()) + 1 if len(rows) else 0):
        exponent = (high - down).maximum(low)
        fit = GroupFit(torch.exp2(exponent).float(), zero, best.error)
        error = rescore(dequantized(rows, fit, fmt), hessian, target)
        best = best.where(error < best.error, GroupFit(fit.scale, zero, error))
    return best


def _exponent(values: Tensor) -> Tensor:
    return torch.frexp(values.double()).exponent.double()
