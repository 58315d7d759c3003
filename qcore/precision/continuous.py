"""From a learned offset to a format: the path through the formats, the gates on it, the annealing.

dMX (arXiv 2606.04115) gives every layer one number, β̂, and lets it stand for a format between the
formats. With n formats from narrow to wide there are n − 1 steps, each with a gate

    g_k = σ(T (|β̂| (n − 1)/2 − (k + ½))),  k = 0 … n − 2
    (E, M) = (E₀, M₀) + Σ g_k (ΔE_k, ΔM_k),  and bits likewise

so that |β̂| = 0 is the narrowest and 2 the widest format whatever n. Two formats are the paper's:
β = 2σ(T(|β̂|/2 − ½)) and E(2 + β)M(1 + β) between E2M1 and E4M3, E2M(1 + β) up to E2M3.

Three formats in one run are ours: the gates make a staircase whose treads lie at the formats, at
|β̂| = 0, 1 and 2. With E3M2 in the middle the widths go straight from E2M1 to E4M3, as in the paper;
with E2M3 the path bends, first M alone and then E alone. The gates overlap by σ(−T/2) at a tread,
2 % at T = 8 and nothing later, so the bend is a little rounded at first.

The temperature T = 20τ is held, τ = 0.4, for the first 60 % of the steps and then rises
geometrically to τ = 20: a gate that is a gentle slope at T = 8 is a switch at T = 400.

The gates are even in β̂, and β̂ starts at 0, where |β̂| has no derivative. Here it is the right
one, +1: with the symmetric choice, 0, no offset would ever move.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.continuous.values import MAX_EXPONENT
from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS, Format, named

HELD = 0.6
"""Share of the steps at the first temperature."""
WIDEST = 2.0
"""|β̂| of the widest format."""
FIRST, LAST = 8.0, 400.0
"""Temperatures 20τ for τ = 0.4 and 20."""


@dataclass(frozen=True, slots=True)
class FormatPath:
    """Formats from narrow to wide, each reached from the one before by widening E, M or both.

    >>> path = format_path(("mxfp8_e4m3", "mxfp4", "mxfp6_e2m3"))
    >>> [item.name for item in path.formats]
    ['mxfp4', 'mxfp6_e2m3', 'mxfp8_e4m3']
    >>> path.nearest(1.4)
    'mxfp6_e2m3'
    """

    formats: tuple[Format, ...]

    def gates(
        self, offsets: Float[Tensor, " units"], temperature: float
    ) -> Float[Tensor, "units steps"]:
        """Gates g_k: the share of each step of the path that is taken, 0 to 1."""
        size = torch.where(offsets < 0, -offsets, offsets)  # derivative 1 at 0: see the module
        steps = len(self.formats) - 1
        middles = torch.arange(steps, device=offsets.device) + 0.5
        return torch.sigmoid(temperature * (size[:, None] * (steps / 2) - middles))

    def widths(self, gates: Float[Tensor, "units steps"]) -> Float[Tensor, "units 2"]:
        """E and M of each unit."""
        knots = torch.tensor([(fmt.exponent, fmt.mantissa) for fmt in self.formats]).to(gates)
        return knots[0] + gates @ knots.diff(dim=0)

    def nearest(self, offset: float) -> str:
        """The format that an offset stands for once the gates are switches."""
        steps = len(self.formats) - 1
        return self.formats[min(max(math.ceil(abs(offset) * steps / 2 - 0.5), 0), steps)].name


def format_path(formats: Sequence[str]) -> FormatPath:
    """The path through these formats, in any order.

    Raises:
        InvalidRecipe: fewer than two, one that is no minifloat with at most 4 exponent bits, or
            one that widens neither E nor M without narrowing the other.
    """
    known = [named(name) for name in formats]
    for fmt in known:
        if not fmt.is_float or fmt.exponent > MAX_EXPONENT:
            raise InvalidRecipe(
                f"dmx learns the widths of minifloats up to E4M3, and {fmt.name} is none of them",
                remedy=f"choose among {', '.join(_LEARNABLE)}, or the method knapsack",
            )
    if len(known) < 2:
        raise InvalidRecipe(
            f"{len(known)} format leaves dmx nothing to learn", remedy="allow at least 2 formats"
        )
    known.sort(key=lambda fmt: fmt.bits)
    for narrow, wide in itertools.pairwise(known):
        if wide.exponent < narrow.exponent or wide.mantissa < narrow.mantissa:
            raise InvalidRecipe(
                f"{wide.name} is not {narrow.name} widened: one of E and M shrinks between them",
                remedy="leave one of the two out and allow another, or choose the method knapsack",
            )
    return FormatPath(tuple(known))


def temperature(step: int, steps: int) -> float:
    """T at a step, counted from 0; the last one of several has 400, one step alone 8."""
    held = math.ceil(HELD * steps)
    if steps > 1:
        held = min(held, steps - 1)  # of two steps three fifths are both
    if step < held:
        return FIRST
    return FIRST * (LAST / FIRST) ** ((step + 1 - held) / (steps - held))


_LEARNABLE = tuple(
    name for name, fmt in FORMATS.items() if fmt.is_float and fmt.exponent <= MAX_EXPONENT
)
