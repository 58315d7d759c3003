"""Recipes that spend a bit budget as another one does: what a Bits page runs or measures."""

from __future__ import annotations

import dataclasses

from qcore.explore.groups import ComparisonGroup
from qcore.formats.format import FORMATS
from qcore.recipe import Pin, Precision, Recipe


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


def measuring_recipe(group: ComparisonGroup) -> Recipe:
    """A recipe of the group that has the sensitivity stage, to make sure of.

    The stage looks at the formats and the text, not at the budget nor at how it is spent.
    """
    part = group.part
    if part.needs_sensitivity:
        return group.recipe
    low, high = (FORMATS[name].bits for name in (part.narrow_to_wide[0], part.narrow_to_wide[-1]))
    budget = (low + high) / 2 if part.budget is None else part.budget
    pins = () if part.method == "manual" else part.pins
    return as_recipe(group, dataclasses.replace(part, method="knapsack", budget=budget, pins=pins))
