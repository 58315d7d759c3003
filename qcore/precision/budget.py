"""From a bit budget to one format per layer.

    uniform    the widest format that fits everywhere; then units in stored order one format wider
    random     units drawn at random, each one format wider
    kl         the unit whose present format costs most, one format wider (arXiv 2606.04115, the
               baseline; with two formats this is the paper's "sort by KL, promote from the top")
    knapsack   the least sum of sensitivities that fits (`qcore.precision.knapsack`)
    dmx        learned offsets rounded to formats, then moved onto the budget
    manual     the pins

A unit is a layer, or the layers that are fused (`qcore.precision.problem`). No method spends more
than the budget. All but `knapsack` go on until nothing fits and less than 0.05 bits are left over,
where the sizes of the layers allow it; `knapsack` leaves bits over where spending them would not
pay.

dMX's offset |β̂| runs over [0, 2]. With n formats their places are 2k/(n − 1), and the nearest one
is taken: above 1 the wider of two formats, as in the paper; at ½ and 3/2 the next of three.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from qcore.errors import InvalidRecipe
from qcore.precision.knapsack import Knapsack
from qcore.precision.layers import LayerSize
from qcore.precision.problem import Problem, Unit, Window, problem_of
from qcore.precision.table import SensitivityTable
from qcore.precision.widening import exchange, widen
from qcore.recipe.precision import Precision


@dataclass(frozen=True, slots=True)
class Assignment:
    """One format per layer.

    Attributes:
        formats: by layer name, in stored order.
        bits: what they spend, as the recipe's objective counts it.
        cost: sum of the layers' sensitivities by the probe's measure; None without a table.
        optimal: no assignment that fits has a smaller cost.
        note: a sentence on how it came about; empty where there is nothing to say.
        gap: no assignment that fits has a cost smaller by more than this; None where nothing is
            known of that.
    """

    formats: dict[str, str]
    bits: float
    cost: float | None
    optimal: bool
    note: str
    gap: float | None = None


def assign(
    layers: Sequence[LayerSize],
    part: Precision,
    *,
    group: int | None = None,
    table: SensitivityTable | None = None,
    offsets: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Assignment:
    """One format per layer, by the part's method and budget.

    Args:
        layers: all linears of the network, in stored order.
        part: method, budget, formats, constraints.
        group: weights that share a scale (INT formats); `Weights.group` of the recipe.
        table: what each layer costs in each format; `kl` and `knapsack` need it.
        offsets: β̂ by layer name; `dmx` needs it.
        seed: of `random`.

    Raises:
        InvalidRecipe: a budget out of reach, pins that match nothing or contradict each other, a
            format that a layer cannot have, or a table or offsets that lack a layer.
    """
    return Assigner(layers, part, group=group, table=table, offsets=offsets, seed=seed).at(
        part.budget
    )


def require_solvable(
    layers: Sequence[LayerSize], part: Precision, *, group: int | None = None
) -> None:
    """Refuse what no assignment can meet, before anything is measured or learned.

    Raises:
        InvalidRecipe: as `assign`, but for tables and offsets.
    """
    problem = problem_of(layers, part, group)
    if part.budget is None:
        _pinned(problem)
    else:
        problem.window(part.budget)


class Assigner:
    """Assignments for any budget, prepared once; `at` takes milliseconds. Arguments as `assign`."""

    def __init__(
        self,
        layers: Sequence[LayerSize],
        part: Precision,
        *,
        group: int | None = None,
        table: SensitivityTable | None = None,
        offsets: Mapping[str, float] | None = None,
        seed: int = 0,
    ):
        self._part = part
        self._order = [layer.name for layer in layers]
        self._problem = problem_of(layers, part, group)
        self._costs = None if table is None else _costs(self._problem, table, part)
        self._offsets = None if offsets is None else _offsets(self._problem.units, offsets)
        self._seed = seed

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the most bits that pins and formats allow."""
        problem = self._problem
        return problem.mean(problem.narrowest), problem.mean(problem.widest)

    def at(self, budget: float | None) -> Assignment:
        """The assignment for a budget in bits; None for `manual`.

        Raises:
            InvalidRecipe: as `assign`.
        """
        if self._part.method == "manual":
            return self._answer(_pinned(self._problem))
        if budget is None:
            raise InvalidRecipe(f"{self._part.method} needs a budget", remedy="set budget to bits")
        window = self._problem.window(budget)
        match self._part.method:
            case "uniform":
                choice, note = self._uniform(window)
            case "random":
                draw = random.Random(self._seed)
                ranks = [[draw.random() for _ in row] for row in self._problem.bits]
                choice, note = self._climb(window, ranks)
            case "kl":
                costs = self._needed_costs
                choice, note = self._climb(window, [[-cost for cost in row] for row in costs])
            case "knapsack":
                return self._solve(window)
            case "dmx":
                choice, note = self._rounded(window)
        return self._answer(choice, note)

    def _uniform(self, window: Window) -> tuple[list[int], str]:
        problem, choice = self._problem, self._problem.narrowest
        for level in range(1, len(problem.formats)):
            wider = [allowed[min(level, len(allowed) - 1)] for allowed in problem.options]
            if problem.spent(wider) <= window.most:
                choice = wider
        widen(problem, choice, window, _in_order, once=True)
        return choice, _told(exchange(problem, choice, window, _in_order))

    def _climb(self, window: Window, ranks: Sequence[Sequence[float]]) -> tuple[list[int], str]:
        choice = self._problem.narrowest

        def rank(unit: int, at: int) -> float:
            return ranks[unit][at]

        widen(self._problem, choice, window, rank)
        return choice, _told(exchange(self._problem, choice, window, rank))

    def _rounded(self, window: Window) -> tuple[list[int], str]:
        """Offsets to formats; the least decided ones give way until the budget is met."""
        if self._offsets is None:
            raise InvalidRecipe("dmx needs learned offsets", remedy="train them first")
        problem, places = self._problem, self._places
        rounded = [
            allowed[min(math.ceil(place - 0.5), len(allowed) - 1)]
            for allowed, place in zip(problem.options, places, strict=True)
        ]
        choice = list(rounded)
        over = problem.spent(choice) - window.most
        while over > 0:
            _, unit = min(
                (places[unit] - at, unit)
                for unit, at in enumerate(choice)
                if at > problem.options[unit][0]
            )
            over -= problem.bits[unit][choice[unit]] - problem.bits[unit][choice[unit] - 1]
            choice[unit] -= 1

        def rank(unit: int, at: int) -> float:
            return at - places[unit]

        widen(problem, choice, window, rank, sparing=True)
        exchange(problem, choice, window, rank)
        moved = sum(a != b for a, b in zip(choice, rounded, strict=True))
        note = (
            f"the learned offsets gave {problem.mean(rounded):.3f} bits; {moved} of {len(choice)} "
            f"choices, those least decided, were moved to {problem.mean(choice):.3f}"
        )
        return choice, note if moved else ""

    @property
    def _places(self) -> list[float]:
        """Position of each unit's offset among the formats: 0 at the narrowest, 1 at the next."""
        assert self._offsets is not None
        return [abs(offset) * (len(self._problem.formats) - 1) / 2 for offset in self._offsets]

    @cached_property
    def _knapsack(self) -> Knapsack:
        problem, costs = self._problem, self._needed_costs
        return Knapsack(
            [
                [row[at] for at in free]
                for row, free in zip(problem.bits, problem.options, strict=True)
            ],
            [[row[at] for at in free] for row, free in zip(costs, problem.options, strict=True)],
        )

    def _solve(self, window: Window) -> Assignment:
        found = self._knapsack.solve(window.most)
        choice = [
            allowed[at] for allowed, at in zip(self._problem.options, found.choice, strict=True)
        ]
        gap, spent = found.cost - found.bound, self._problem.spent(choice)
        notes = [f"the least sum is at most {gap:.3g} below this one"] if gap > 0 else []
        if spent < window.least:
            left = (window.most - spent) / self._problem.denominator
            notes.append(f"{left:.2f} bits are left over: spending them would not lower the sum")
        return self._answer(choice, "; ".join(notes), gap)

    @property
    def _needed_costs(self) -> list[list[float]]:
        if self._costs is None:
            raise InvalidRecipe(
                f"{self._part.method} needs the layers' sensitivities", remedy="measure them first"
            )
        return self._costs

    def _answer(self, choice: list[int], note: str = "", gap: float | None = None) -> Assignment:
        by_layer = self._problem.by_layer(choice)
        cost = None
        if self._costs is not None:
            cost = sum(row[at] for row, at in zip(self._costs, choice, strict=True))
        return Assignment(
            {name: by_layer[name] for name in self._order},
            self._problem.mean(choice),
            cost,
            gap == 0,
            note,
            gap,
        )


def _pinned(problem: Problem) -> list[int]:
    """The choice that the pins leave no doubt about.

    Raises:
        InvalidRecipe: a unit has none.
    """
    free = [unit.name for unit in problem.units if unit.pin is None]
    if free:
        raise InvalidRecipe(
            f"{len(free)} of {len(problem.units)} choices have no pin, {free[0]} first",
            remedy="pin every layer, its projection or its block, or choose another method",
        )
    return problem.narrowest


def _in_order(unit: int, at: int) -> float:
    return unit


def _told(exchanges: int) -> str:
    """Note on the exchanges that were made."""
    if not exchanges:
        return ""
    return f"{exchanges} exchange{'s' if exchanges > 1 else ''} of layers came closer to the budget"


def _costs(problem: Problem, table: SensitivityTable, part: Precision) -> list[list[float]]:
    """Costs by unit and format, summed over the unit's layers.

    Raises:
        InvalidRecipe: the table lacks a layer, a format or the measure.
    """
    cost = table.cost(part.probe.measure)
    missing = [name for name in problem.formats if name not in table.formats]
    missing += [x.name for unit in problem.units for x in unit.layers if x.name not in cost]
    if missing:
        raise InvalidRecipe(
            f"there are no sensitivities for {missing[0]}, one of {len(missing)} that are missing",
            remedy="measure the sensitivities of this network in these formats",
        )
    return [
        [sum(cost[layer.name][name] for layer in unit.layers) for name in problem.formats]
        for unit in problem.units
    ]


def _offsets(units: Sequence[Unit], offsets: Mapping[str, float]) -> list[float]:
    """Mean offset of each unit's layers; a pinned unit needs none.

    Raises:
        InvalidRecipe: a layer has none.
    """
    found = []
    for unit in units:
        lacking = [layer.name for layer in unit.layers if layer.name not in offsets]
        if lacking and unit.pin is None:
            raise InvalidRecipe(f"{lacking[0]} has no learned offset", remedy="train all layers")
        known = [offsets[x.name] for x in unit.layers if x.name in offsets]
        found.append(sum(known) / len(known) if known else 0.0)
    return found
