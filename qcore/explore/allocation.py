"""Recipes that spend a bit budget as another one does: what a Bits page runs or measures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

from qcore.explore.groups import ComparisonGroup
from qcore.formats.format import FORMATS
from qcore.recipe import Pin, Precision, Recipe
from qcore.report.summary import Summary


def as_recipe(group: ComparisonGroup, part: Precision) -> Recipe:
    """The group's recipe with another way to spend the bits."""
    recipe = group.recipe
    assert recipe.weights is not None
    weights = dataclasses.replace(recipe.weights, format=part.narrow_to_wide[0])
    return dataclasses.replace(recipe, weights=weights, precision=part)


def as_pins(part: Precision, formats: dict[str, str]) -> Precision:
    """The part that gives every layer just this format."""
    pins = tuple(Pin(layer, name) for layer, name in formats.items())
    return dataclasses.replace(part, method="manual", budget=None, pins=pins)


def measuring_recipe(group: ComparisonGroup, runs: Iterable[Summary]) -> Recipe:
    """A knapsack run of the group that has not finished, so that its stages run.

    A finished run is never computed again, even when the cache has lost what it measured; a budget
    that differs by a hundredth makes it another run.
    """
    part = group.part
    pins = () if part.method == "manual" else part.pins
    low, high = (FORMATS[name].bits for name in (part.narrow_to_wide[0], part.narrow_to_wide[-1]))
    middle = (low + high) / 2
    first = middle if part.budget is None else part.budget
    step = 0.01 if first < middle else -0.01
    done = {run.recipe.digest for run in runs}
    for number in itertools.count():
        budget = round(first + number * step, 2)
        asked = dataclasses.replace(part, method="knapsack", budget=budget, pins=pins)
        recipe = as_recipe(group, asked)
        if recipe.digest not in done:
            return recipe
    raise AssertionError("unreachable: there are more budgets than runs")
