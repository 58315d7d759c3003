"""Outcomes that changed for some recipes only, and what that adds to those recipes' keys.

A stage's version stands in the key of every run; raising it has everything computed anew. Where a
mended method changes what comes out for a few recipes, the name of the change goes into the keys of
just those, and all other keys stay what they were:

    midmax    mxfp8_e4m3 under the rule `midmax`: the threshold follows from its largest value, 448
    zeros     PiSO of integers with zero points: the default searches them exactly
"""

from __future__ import annotations

from qcore.recipe import Recipe
from qcore.recipe.formats import formats_of

_MIDMAX = "midmax of E4M3 by its largest value"
_ZEROS = "PiSO's zero points exact"


def of_weights(recipe: Recipe) -> list[str]:
    """What changed about the recipe's scales of weights."""
    piso = recipe.scales.method == "piso"  # it finds powers of two by itself, whatever the rule
    found = [_MIDMAX] if not piso and _raises(recipe, "weights") else []
    asymmetric = any(not fmt.symmetric for what, fmt in formats_of(recipe) if what == "weights")
    return found + ([_ZEROS] if piso and asymmetric else [])


def of_inputs(recipe: Recipe) -> list[str]:
    """What changed about how the recipe rounds inputs."""
    return [_MIDMAX] if _raises(recipe, "activations") else []


def of_training(recipe: Recipe) -> list[str]:
    """What changed about the rounding that dMX learns through: weights by rule, and inputs."""
    raises = _raises(recipe, "weights") or _raises(recipe, "activations")
    return [_MIDMAX] if raises else []


def of_any(recipe: Recipe) -> list[str]:
    """What changed about anything in the recipe's Report."""
    trained = recipe.precision is not None and recipe.precision.method == "dmx"
    found = of_weights(recipe) + of_inputs(recipe) + (of_training(recipe) if trained else [])
    return sorted(set(found))


def _raises(recipe: Recipe, what: str) -> bool:
    return any(
        fmt.name == "mxfp8_e4m3" and fmt.scale_rounding == "midmax"
        for use, fmt in formats_of(recipe)
        if use == what
    )
