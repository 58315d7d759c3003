"""What bounds a multiple-choice knapsack from below, and what that leaves to be searched.

If a unit may mix its options, the least cost is found along the options' lower convex hulls, the
steepest step first; the slope −λ at which the capacity C runs out prices a unit of weight. For
every choice with Σ w ≤ C

    Σ c = L + Σ r + λ (C − Σ w),    r_uj = c_uj + λ w_uj − min_k (c_uk + λ w_uk) ≥ 0,

with L the relaxation's value (Sinha and Zoltners, 1979). So with a choice of cost U at hand,
nothing that contains an option with r ≥ U − L can be cheaper. With U close to L few options are
left, and a search over the sums of their weights, in which what is heavier and dearer is dropped,
is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

STATES = 1 << 17
"""Partial choices that a search may hold at a time."""

ROUNDING = 1e-12
"""Error of summed costs, relative to their size: what a bound excludes by less is searched."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of a unit's options that no other one beats.

    Attributes:
        index: among the unit's options as they were given.
        weight: beyond the unit's lightest option.
        cost: as it was given.
    """

    index: int
    weight: int
    cost: float


@dataclass(frozen=True, slots=True)
class Bound:
    """The relaxation's optimum.

    Attributes:
        value: no choice that fits costs less.
        price: λ, cost per weight.
    """

    value: float
    price: float


def undominated(weights: Sequence[int], costs: Sequence[float]) -> list[Option]:
    """Options by rising weight and falling cost; of equal ones the first."""
    options = sorted(
        (Option(at, *pair) for at, pair in enumerate(zip(weights, costs, strict=True))),
        key=lambda option: (option.weight, option.cost, option.index),
    )
    lightest, kept = options[0].weight, [Option(options[0].index, 0, options[0].cost)]
    for option in options[1:]:
        if option.cost < kept[-1].cost:
            kept.append(Option(option.index, option.weight - lightest, option.cost))
    return kept


def relax(units: Sequence[Sequence[Option]], room: int) -> Bound:
    """The least cost if units may mix their options.

    Args:
        units: their undominated options.
        room: what all weights together may be.
    """
    steps = sorted(step for options in units for step in _hull_steps(options))
    value = math.fsum(options[0].cost for options in units)
    for slope, weight in steps:
        if weight >= room:
            return Bound(value + slope * room, -slope)
        value += slope * weight
        room -= weight
    return Bound(value, 0.0)


def search(
    units: Sequence[Sequence[Option]], room: int, bound: Bound, cost: float
) -> list[int] | None:
    """A choice that is cheaper than `cost`, the cheapest; None if there is none.

    Args:
        units: their undominated options.
        room: what all weights together may be.
        bound: of `relax` for that room.
        cost: of a choice at hand.

    Raises:
        OverflowError: more than `STATES` partial choices are worth keeping.
    """
    size = math.fsum(max(abs(option.cost) for option in options) for options in units)
    margin = cost - bound.value + ROUNDING * size
    left = [_within(options, bound.price, margin) for options in units]
    # Units of one option left weigh what they weigh; the others are searched, few choices first.
    order = sorted(range(len(units)), key=lambda unit: len(left[unit]))
    weight, reduced = np.zeros(1, np.int64), np.zeros(1)
    history: list[tuple[Int64[np.ndarray, " states"], Int64[np.ndarray, " states"]]] = []
    for unit in order:
        places = [at for at, _ in left[unit]]
        grown = [
            (weight + units[unit][at].weight, reduced + extra, np.arange(len(weight)), place)
            for place, (at, extra) in enumerate(left[unit])
        ]
        weight = np.concatenate([part[0] for part in grown])
        reduced = np.concatenate([part[1] for part in grown])
        parent = np.concatenate([part[2] for part in grown])
        option = np.concatenate([np.full(len(part[0]), places[part[3]]) for part in grown])
        kept = _worth(weight, reduced, bound.price, room, margin)
        if len(kept) > STATES:
            raise OverflowError(f"{len(kept)} partial choices are worth keeping")
        if not len(kept):
            return None
        weight, reduced = weight[kept], reduced[kept]
        history.append((parent[kept], option[kept]))
    at = int(np.argmin(reduced + bound.price * (room - weight)))
    choice = [0] * len(units)
    for unit, (parent, option) in zip(reversed(order), reversed(history), strict=True):
        choice[unit], at = int(option[at]), int(parent[at])
    total = math.fsum(options[place].cost for options, place in zip(units, choice, strict=True))
    return choice if total < cost else None


def _within(options: Sequence[Option], price: float, margin: float) -> list[tuple[int, float]]:
    """The options, as places and r, that a cheaper choice may contain; the best one always."""
    priced = [option.cost + price * option.weight for option in options]
    least = min(priced)
    return [
        (at, value - least)
        for at, value in enumerate(priced)
        if value - least <= margin or value == least
    ]


def _worth(
    weight: Int64[np.ndarray, " states"],
    reduced: Float64[np.ndarray, " states"],
    price: float,
    room: int,
    margin: float,
) -> Int64[np.ndarray, " kept"]:
    """Places of partial choices that fit, are not bounded away, and that no other one beats."""
    places = np.flatnonzero((weight <= room) & (reduced <= margin))
    cost = reduced[places] - price * weight[places]
    places = places[np.lexsort((cost, weight[places]))]
    cost = reduced[places] - price * weight[places]
    cheaper = np.ones(len(places), bool)
    cheaper[1:] = cost[1:] < np.minimum.accumulate(cost)[:-1]
    return places[cheaper]


def _hull_steps(options: Sequence[Option]) -> list[tuple[float, int]]:
    """Steps (cost per weight, weight) along the lower convex hull of options; slopes rise."""
    hull: list[Option] = []
    for option in options:
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], option):
            hull.pop()
        hull.append(option)
    return [(_slope(a, b), b.weight - a.weight) for a, b in pairwise(hull)]


def _slope(first: Option, second: Option) -> float:
    return (second.cost - first.cost) / (second.weight - first.weight)
