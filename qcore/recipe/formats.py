"""Which Formats a recipe may use: known from the recipe alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qcore.formats.format import Format, named
from qcore.recipe.parts import Activations
from qcore.recipe.recipe import Recipe


def formats_of(recipe: Recipe) -> Iterator[tuple[str, Format]]:
    """Every format that a recipe may use, and for what: `weights` or `activations`."""
    for what, part in (("weights", recipe.weights), ("activations", recipe.activations)):
        if part is not None:
            yield what, part.value
    if recipe.precision is not None:
        for name in recipe.precision.formats:
            yield "weights", weight_format(recipe, name)
            if recipe.activations is not None:
                yield "activations", input_format(recipe, name)


def weight_format(recipe: Recipe, name: str) -> Format:
    """The format called `name` with the recipe's group, scale rounding and type of scales."""
    part = recipe.weights
    assert part is not None
    fmt = named(name, part.group).with_scale_rounding(part.scale_rounding)
    return fmt.with_scale_type(recipe.scales.storage)


def input_format(recipe: Recipe, weights: str | None) -> Format:
    """The format of the inputs of a layer whose weights are assigned the format `weights`."""
    part = recipe.activations
    assert part is not None
    if recipe.precision is None or not recipe.precision.shared or weights is None:
        return part.value
    return replace(part, format=_twin(weights, part)).value


def _twin(weights: str, part: Activations) -> str:
    """MX: the same element. Integers: the same width, asymmetric where the activations are."""
    kind = named(weights).kind
    return weights if kind == "mx" or part.value.symmetric else f"{weights}_asym"
