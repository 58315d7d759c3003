"""Which format each layer has in a run: the recipe's one format, or the assignment's many.

A layer's inputs take the width of its weights where the budget says so (`Precision.shared`).
"""

from __future__ import annotations

from collections.abc import Mapping

from qcore.formats.format import Format
from qcore.recipe import Recipe
from qcore.recipe.formats import input_format, weight_format


class LayerFormats:
    """The formats of a recipe's layers.

    Args:
        recipe: says groups, scale rounding, and the formats where there is no budget.
        formats: layer → name of its weights' format; empty without a budget.
    """

    def __init__(self, recipe: Recipe, formats: Mapping[str, str]):
        self._recipe = recipe
        self._formats = formats

    def weight(self, layer: str) -> Format:
        """Of a layer's weights."""
        assert self._recipe.weights is not None
        return weight_format(self._recipe, self._formats.get(layer, self._recipe.weights.format))

    def inputs(self, layer: str) -> Format | None:
        """Of a layer's inputs; None leaves them in float."""
        if self._recipe.activations is None:
            return None
        return input_format(self._recipe, self._formats.get(layer))
