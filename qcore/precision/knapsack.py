"""The multiple-choice knapsack, solved once for all budgets.

Each unit u takes one option j of weight w_uj and cost c_uj; find the least Σ c with Σ w ≤ C.

Options that another one of the same unit beats in weight and cost are dropped, each unit's least
weight is taken off, and what is left is divided by its greatest common divisor. Layers of one
network have few different sizes, so few *cells* remain: 1,920 for a model of 135 million parameters
in three formats, 3,328 for one of 8 billion. The recurrence over capacities c = 0 … Σ max w,

    best_u(c) = min_j  best_{u−1}(c − w_uj) + c_uj,    best_0(c) = 0,

then costs (units × options × cells) additions, and holds the answer for *every* capacity: a budget
is one walk back through the chosen options. It is exact, and makes no assumption about costs: they
may be negative, and a heavier option may cost more.

Should more than `CELLS` cells remain (many unrelated widths), weights are rounded up to a grid of
as many. What comes out still fits, and `bound` says how far from the best it can be: the optimum of
the relaxation in which a unit may mix its options, which no choice can beat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

CELLS = 1 << 17
"""Most capacities for which the recurrence is kept: 128 units of them take 8 MB on average."""


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


@dataclass(frozen=True, slots=True)
class _Option:
    index: int
    weight: int
    cost: float


class Knapsack:
    """Units and their options, ready for any capacity.

    Args:
        weights: by unit and option, whole numbers.
        costs: by unit and option, finite.
        cells: most capacities to keep; fewer make it faster and no longer exact.
    """

    def __init__(
        self,
        weights: Sequence[Sequence[int]],
        costs: Sequence[Sequence[float]],
        *,
        cells: int = CELLS,
    ):
        self._units = [_undominated(*unit) for unit in zip(weights, costs, strict=True)]
        self._least = sum(options[0].weight for options in self._units)
        extra = [[o.weight - options[0].weight for o in options] for options in self._units]
        divisor = math.gcd(*(weight for row in extra for weight in row)) or 1
        total = sum(row[-1] for row in extra)
        self.exact = total // divisor <= cells
        self._grid = divisor if self.exact else -(-total // cells)
        self._cells = [[-(-weight // self._grid) for weight in row] for row in extra]
        self._taken = self._sweep()

    def solve(self, capacity: int) -> Solution:
        """The cheapest choice whose weights sum to at most `capacity`.

        Raises:
            ValueError: nothing fits.
        """
        room = capacity - self._least
        if room < 0:
            raise ValueError(f"capacity {capacity} is less than {self._least}, the least weight")
        cell, picked = room // self._grid, []
        for taken, cells in zip(reversed(self._taken), reversed(self._cells), strict=True):
            picked.append(int(taken[min(cell, len(taken) - 1)]))
            cell = min(cell, len(taken) - 1) - cells[picked[-1]]
        picked.reverse()
        if not self.exact:
            self._use_up(picked, room)
        chosen = [options[at] for options, at in zip(self._units, picked, strict=True)]
        cost = math.fsum(option.cost for option in chosen)
        bound = cost if self.exact else min(cost, self._relaxed(room))
        return Solution(tuple(option.index for option in chosen), cost, bound)

    def _sweep(self) -> list[UInt8[np.ndarray, " cells"]]:
        """By unit and cell, the option that the recurrence takes there.

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

    def _use_up(self, picked: list[int], room: int) -> None:
        """Spend what rounding up has left, on the option that saves most while one fits."""
        while True:
            left = room - sum(self._extra(unit, at) for unit, at in enumerate(picked))
            saving, unit, at = max(
                (options[picked[unit]].cost - option.cost, unit, at)
                for unit, options in enumerate(self._units)
                for at, option in enumerate(options)
                if self._extra(unit, at) - self._extra(unit, picked[unit]) <= left
            )
            if saving <= 0:
                return
            picked[unit] = at

    def _extra(self, unit: int, at: int) -> int:
        return self._units[unit][at].weight - self._units[unit][0].weight

    def _relaxed(self, room: int) -> float:
        """The least cost if units may mix options: along their lower hulls, steepest step first."""
        cost = math.fsum(options[0].cost for options in self._units)
        steps = [step for options in self._units for step in _hull_steps(options)]
        for weight, change in sorted(steps, key=lambda step: step[1] / step[0]):
            share = min(1.0, room / weight)
            cost += share * change
            room -= weight
            if room <= 0:
                break
        return cost


def _undominated(weights: Sequence[int], costs: Sequence[float]) -> list[_Option]:
    """Options by rising weight and falling cost; of equal ones the first."""
    options = sorted(
        (_Option(at, *pair) for at, pair in enumerate(zip(weights, costs, strict=True))),
        key=lambda option: (option.weight, option.cost, option.index),
    )
    kept = options[:1]
    for option in options[1:]:
        if option.cost < kept[-1].cost:
            kept.append(option)
    return kept


def _hull_steps(options: Sequence[_Option]) -> list[tuple[int, float]]:
    """Steps (weight, change of cost) along the lower convex hull of options."""
    hull: list[_Option] = []
    for option in options:
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], option):
            hull.pop()
        hull.append(option)
    return [(b.weight - a.weight, b.cost - a.cost) for a, b in pairwise(hull)]


def _slope(first: _Option, second: _Option) -> float:
    return (second.cost - first.cost) / (second.weight - first.weight)
