"""From measured windows and rows to the numbers of a Report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.report import LayerReport, Volume

FLOAT_BITS = 16
"""What is not quantized is counted as it is published: in 16-bit float."""


def volume(facts: dict[str, Any], layers: Sequence[LayerReport]) -> Volume:
    """Bytes in storage.

    Args:
        facts: the network's sizes, as the load stage keeps them.
        layers: rows of the quantized layers; none for a float network.
    """
    total = int(facts["parameters"])
    quantized = sum(row.parameters for row in layers)
    element_bits = sum(row.parameters * row.element_bits for row in layers)
    all_bits = sum(row.parameters * row.bits_per_weight for row in layers)
    return Volume(
        element_bytes=math.ceil(element_bits / 8),
        scale_bytes=math.ceil((all_bits - element_bits) / 8),
        float_bytes=(total - quantized) * FLOAT_BITS // 8,
        bits_per_weight=all_bits / quantized if quantized else float(FLOAT_BITS),
        quantized_parameters=quantized,
        total_parameters=total,
    )


def require_groups(recipe: Recipe, facts: dict[str, Any]) -> None:
    """Refuse formats that do not fit the network, before anything long begins.

    Args:
        recipe: its formats are looked at.
        facts: the network's sizes, as the load stage keeps them.

    Raises:
        InvalidRecipe: a group or block does not divide the width of a layer's input.
    """
    for what, part in (("weights", recipe.weights), ("activations", recipe.activations)):
        if part is None:
            continue
        for width in facts["widths"]:
            try:
                part.value.groups(width)
            except InvalidRecipe as error:
                raise InvalidRecipe(f"{what}: {error.fact}", remedy=error.remedy) from error


def damping_notes(recipe: Recipe, layers: Sequence[LayerReport]) -> list[str]:
    """A sentence when a Hessian needed more damping than asked for."""
    raised = [row for row in layers if (row.damping or 0) > recipe.rounding.damping]
    if not raised:
        return []
    worst = max(raised, key=lambda row: row.damping or 0)
    return [
        f"{len(raised)} of {len(layers)} layers needed more damping than "
        f"{recipe.rounding.damping:g} for a Cholesky factor: {worst.name} took {worst.damping:g}"
    ]
