"""From measured windows and rows to the numbers of a Report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from qcore.errors import InvalidRecipe
from qcore.formats.format import Format
from qcore.pipeline.assigned import input_format, weight_format
from qcore.pipeline.facts import Facts
from qcore.recipe import DAMPING, Recipe
from qcore.report import LayerReport, Volume

FLOAT_BITS = 16
"""What is not quantized is counted as it is published: in 16-bit float."""


def volume(recipe: Recipe, facts: Facts, layers: Sequence[LayerReport], added: int) -> Volume:
    """Bytes in storage.

    A rotated residual stream unties the embeddings: the norm that is folded into the head is not
    in the embedding, so both are stored.

    Args:
        recipe: what was asked.
        facts: the untouched network's sizes.
        layers: rows of the quantized layers; none for float weights.
        added: parameters that expansion added.
    """
    untied = facts.tied_parameters if recipe.rotation and recipe.rotation.r1 else 0
    total = facts.parameters + added + untied
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


def require_groups(recipe: Recipe, widths: Iterable[int]) -> None:
    """Refuse formats that do not fit the network, before anything long begins.

    Args:
        recipe: its formats are looked at.
        widths: of the layers' inputs, expanded ones as they will be.

    Raises:
        InvalidRecipe: a group or block does not divide the width of a layer's input.
    """
    for what, fmt in _formats_of(recipe):
        for width in widths:
            try:
                fmt.groups(width)
            except InvalidRecipe as error:
                raise InvalidRecipe(f"{what}: {error.fact}", remedy=error.remedy) from error


def _formats_of(recipe: Recipe) -> Iterator[tuple[str, Format]]:
    """Every format that a recipe may use, and for what."""
    for what, part in (("weights", recipe.weights), ("activations", recipe.activations)):
        if part is not None:
            yield what, part.value
    if recipe.precision is not None:
        for name in recipe.precision.formats:
            yield "weights", weight_format(recipe, name)
            if recipe.activations is not None:
                yield "activations", input_format(recipe, name)


def damping_notes(recipe: Recipe, layers: Sequence[LayerReport]) -> list[str]:
    """A sentence when a Hessian needed more damping than asked for."""
    if recipe.rounding.method == "qronos":
        return []  # its unit is the largest eigenvalue: each layer's own fraction is in its row
    asked = recipe.rounding.damping or DAMPING[recipe.rounding.method]
    raised = [row for row in layers if (row.damping or 0) > asked]
    if not raised:
        return []
    worst = max(raised, key=lambda row: row.damping or 0)
    return [
        f"{len(raised)} of {len(layers)} layers needed more damping than {asked:g} for a Cholesky "
        f"factor: {worst.name} took {worst.damping:g}"
    ]
