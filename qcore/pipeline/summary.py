"""Bytes in storage and notes of a Report, from its layers' rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore.pipeline.planning.sizes import Sizes
from qcore.recipe import Recipe
from qcore.report.report import LayerReport, Volume
from qcore.rounding.damping import DAMPING

if TYPE_CHECKING:
    from qcore.evaluation.perplexity import WindowScore

FLOAT_BITS = 16
"""What is not quantized is counted as it is published: in 16-bit float."""


def volume(recipe: Recipe, sizes: Sizes, layers: Sequence[LayerReport], added: int) -> Volume:
    """Bytes in storage.

    A rotated residual stream unties the embeddings: the norm that is folded into the head is not
    in the embedding, so both are stored.

    Args:
        recipe: what was asked.
        sizes: the untouched network's sizes.
        layers: rows of the quantized layers; none for float weights.
        added: parameters that expansion added.
    """
    untied = sizes.tied_parameters if recipe.rotation and recipe.rotation.r1 else 0
    total = sizes.parameters + added + untied
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


PUBLISHED_TOKENS = 128 * 2048
"""Calibration tokens in the papers of Qronos's authors."""


def damping_notes(recipe: Recipe, layers: Sequence[LayerReport]) -> list[str]:
    """A sentence when a Hessian needed more damping than asked for, or Qronos might."""
    asked = recipe.rounding.damping or DAMPING[recipe.rounding.method]
    if recipe.rounding.method == "qronos":
        # Its unit is the largest eigenvalue: each layer's own fraction is in its row.
        return _raised(layers) + _few_tokens(recipe, asked)
    raised = [row for row in layers if (row.damping or 0) > asked]
    if not raised:
        return []
    worst = max(raised, key=lambda row: row.damping or 0)
    return [
        f"{len(raised)} of {len(layers)} layers needed more damping than {asked:g} for a Cholesky "
        f"factor: {worst.name} took {worst.damping:g}"
    ]


def _raised(layers: Sequence[LayerReport]) -> list[str]:
    """Where the moments have so little rank that their own rounding is more than the damping."""
    raised = [row for row in layers if row.asked is not None]
    if not raised:
        return []
    worst = max(raised, key=lambda row: row.damping or 0)
    return [
        f"{len(raised)} of {len(layers)} layers needed more damping than was asked for: the inputs "
        "of all tokens are so much alike that float32's rounding outweighs it. At most, "
        f"{worst.name} took {worst.damping:.2g} of the mean diagonal in place of {worst.asked:.2g}"
    ]


def limit_notes(layers: Sequence[LayerReport], *, captured: bool) -> list[str]:
    """A sentence for each type that could not hold what was to be stored in it.

    Args:
        layers: rows of the quantized layers.
        captured: there are second moments to measure output errors with.
    """
    notes = []
    for what in sorted({what for row in layers for what in row.beyond or ()}):
        counts = {row.name: (row.beyond or {}).get(what, 0) for row in layers}
        worst = max(counts, key=lambda name: counts[name])
        total, where = sum(counts.values()), sum(count > 0 for count in counts.values())
        advice = "" if "E8M0" in what else ': storage "float32" holds them'
        notes.append(
            f"{total:,} {what} were held at the nearest that it has, in {where} of {len(layers)} "
            f"layers, {counts[worst]:,} of them in {worst}{advice}"
        )
    unknown = [row.name for row in layers if captured and row.output_error is None]
    if unknown:
        notes.append(
            f"{len(unknown)} of {len(layers)} layers have no output error, {unknown[0]} first: the "
            "second moments of their inputs are beyond float32"
        )
    return notes


def input_notes(windows: Sequence[WindowScore]) -> list[str]:
    """A sentence on the inputs' shared exponents that E8M0 could not hold in the evaluation."""
    counts: Counter[str] = Counter()
    for window in windows:
        counts.update(window.held or {})
    if not counts:
        return []
    worst, most = counts.most_common(1)[0]
    affected = sum(bool(window.held) for window in windows)
    return [
        f"{counts.total():,} shared exponents of inputs beyond E8M0 were held at the nearest that "
        f"it has, in {affected} of {len(windows)} evaluation windows and {len(counts)} inputs of "
        f"layers, {most:,} of them before {worst}"
    ]


def _few_tokens(recipe: Recipe, damping: float) -> list[str]:
    """Qronos solves a regression on every input: undamped, it fits few tokens too well."""
    if recipe.calibration is None or recipe.rounding.inputs == "float" or recipe.suffix:
        return []
    tokens = recipe.calibration.windows * recipe.calibration.length
    if damping > DAMPING["qronos"] or tokens >= PUBLISHED_TOKENS:
        return []
    return [
        f"Qronos's own damping of {damping:g} goes with much text, {PUBLISHED_TOKENS:,} tokens in "
        f"its authors' papers; this run has {tokens:,} and may do better with 0.001 to 0.01"
    ]
