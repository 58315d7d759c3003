"""Which format each layer has in a run: the recipe's one format, or the assignment's many.

A layer's inputs take the width of its weights where the budget says so (`Precision.shared`). Layers
that read one input then usually agree, and the input is rounded once; where they do not, each
rounds for itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from qcore.formats.coding import fake_quantize
from qcore.formats.format import Format
from qcore.models.families import sites
from qcore.models.surgery import InputMap, Surgery
from qcore.recipe import Recipe
from qcore.recipe.formats import input_format, weight_format


class Assigned:
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

    def install_inputs(self, surgery: Surgery, model) -> None:
        """Let every layer's inputs be rounded at run time."""
        if self._recipe.activations is None:
            return
        surgery.map_inputs(lambda site: self._site_map([item.name for item in site.linears]))
        for site in sites(model):
            names = [item.name for item in site.linears]
            if self._site_map(names) is None:
                for linear in site.linears:
                    surgery.map_input(linear, self._site_map([linear.name]))

    def _site_map(self, layers: list[str]) -> InputMap | None:
        """Rounding for layers that agree; None where they do not."""
        formats = {self.inputs(layer) for layer in layers}
        return rounding_to(formats.pop()) if len(formats) == 1 else None


def rounding_to(fmt: Format | None) -> InputMap | None:
    """The map that rounds an input dynamically."""
    return None if fmt is None else lambda x: fake_quantize(x, fmt)
