"""The multiple-choice knapsack, prepared once for all budgets.

Each unit u takes one option j of weight w_uj and cost c_uj; find the least Σ c with Σ w ≤ C.

Options that another one of the same unit beats in weight and cost are dropped, each unit's least
weight is taken off, and what is left is divided by its greatest common divisor. Layers of one
network have few different sizes, so few *cells* remain: 1,920 for a model of 135 million parameters
in three formats, 1,664 for one of 8 billion. The recurrence over capacities c = 0 … Σ max w,

    best_u(c) = min_j  best_{u−1}(c − w_uj) + c_uj,    best_0(c) = 0,

then costs (units × options × cells) additions, and holds the answer for *every* capacity: a budget
is one walk back through the chosen options. It is exact, and makes no assumption about costs: they
may be negative, and a heavier option may cost more.

Where more than `CELLS` cells remain (widths that share no factor), weights are rounded up to a grid
of as many. What comes out still fits, and is close enough to a lower bound for an exact search of
the few options that the bound leaves open (`qcore.precision.relaxation`). Should even these be too
many, the choice stands, and the bound says how far from the best it can be at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from qcore.precision.relaxation import relax, search, undominated

CELLS = 1 << 15
"""Most capacities for which the recurrence is kept: 128 units of them take 2 MB on average."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A choice of options.

    Attributes:
        choice: for each unit, the index of its option.
        cost: their sum.
        bound: no choice that fits costs less.
    """

    choice: tuple[int, ...]
    cost: float
    bound: float


class Knapsack:
    """Units and their options, ready for any capacity.

    Args:
        weights: by unit and option, whole numbers.
        costs: by unit and option, finite.
        cells: most capacities to keep; a capacity then takes a search where there are more.
    """

    def __init__(
        self,
        weights: Sequence[Sequence[int]],
        costs: Sequence[Sequence[float]],
        *,
        cells: int = CELLS,
    ):
        self._least = sum(min(row) for row in weights)
        units = [undominated(*unit) for unit in zip(weights, costs, strict=True)]
        self._divisor = math.gcd(*(option.weight for unit in units for option in unit)) or 1
        self._units = [
            [replace(option, weight=option.weight // self._divisor) for option in unit]
            for unit in units
        ]
        self._grid = max(1, -(-sum(unit[-1].weight for unit in self._units) // cells))
        self._cells = [[-(-option.weight // self._grid) for option in unit] for unit in self._units]
        self._taken = self._sweep()

    def solve(self, capacity: int) -> Solution:
        """The cheapest choice whose weights sum to at most `capacity`.

        Raises:
            ValueError: nothing fits.
        """
        if capacity < self._least:
            raise ValueError(f"capacity {capacity} is less than {self._least}, the least weight")
        room = (capacity - self._least) // self._divisor
        picked = self._walk(room)
        if self._grid == 1:
            return self._solution(picked)
        self._use_up(picked, room)
        found, bound = self._solution(picked), relax(self._units, room)
        try:
            better = search(self._units, room, bound, found.cost)
        except OverflowError:
            return Solution(found.choice, found.cost, min(bound.value, found.cost))
        return found if better is None else self._solution(better)

    def _sweep(self) -> list[UInt8[np.ndarray, " cells"]]:
        """The option that the recurrence takes at each unit and cell.

        A unit's row ends where all units so far have their heaviest option.
        """
        best, rows = np.zeros(1), []
        for options, cells in zip(self._units, self._cells, strict=True):
            before = np.concatenate([best, np.full(cells[-1], best[-1])])
            best, taken = before + options[0].cost, np.zeros(len(before), np.uint8)
            for at in range(1, len(options)):
                shifted = before[: len(before) - cells[at]] + options[at].cost
                better = shifted < best[cells[at] :]
                best[cells[at] :][better] = shifted[better]
                taken[cells[at] :][better] = at
            rows.append(taken)
        return rows

    def _walk(self, room: int) -> list[int]:
        """The recurrence's choice, from the last unit to the first."""
        cell, picked = room // self._grid, []
        for taken, cells in zip(reversed(self._taken), reversed(self._cells), strict=True):
            cell = min(cell, len(taken) - 1)
            picked.append(int(taken[cell]))
            cell -= cells[picked[-1]]
        return picked[::-1]

    def _use_up(self, picked: list[int], room: int) -> None:
        """Spend what rounding up has left, on the option that saves most while one fits."""
        left = room - sum(unit[at].weight for unit, at in zip(self._units, picked, strict=True))
        while True:
            saving, unit, at = max(
                (options[picked[unit]].cost - option.cost, unit, at)
                for unit, options in enumerate(self._units)
                for at, option in enumerate(options)
                if option.weight - options[picked[unit]].weight <= left
            )
            if saving <= 0:
                return
            left -= self._units[unit][at].weight - self._units[unit][picked[unit]].weight
            picked[unit] = at

    def _solution(self, picked: Sequence[int]) -> Solution:
        """The choice, nothing cheaper being known to fit."""
        chosen = [options[at] for options, at in zip(self._units, picked, strict=True)]
        cost = math.fsum(option.cost for option in chosen)
        return Solution(tuple(option.index for option in chosen), cost, cost)
