"""Bytes that stages write into the cache when nothing of theirs is there.

Counted, not estimated: the sizes of all arrays follow from the recipe and the network's sizes.
Records (losses, scores) are thousands of times smaller and count as nothing.
"""

from __future__ import annotations

from qcore.pipeline.planning.sizes import Sizes
from qcore.pipeline.planning.validation import expansion_of
from qcore.recipe import Recipe

_SAMPLED_TOKENS, _HISTOGRAM_BYTES = 64, (1 << 14) * 8


def nothing(recipe: Recipe, sizes: Sizes) -> int:
    """A stage that keeps records alone."""
    return 0


def reference_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """The float network's final hidden states in the evaluation windows."""
    item = 2 if recipe.model.dtype == "bfloat16" else 4
    return recipe.evaluation.windows * recipe.evaluation.length * sizes.size.hidden * item


def token_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """Every evaluated token's scores: four numbers in float32 and one byte."""
    return recipe.evaluation.windows * recipe.evaluation.length * 17


def capture_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """Second moments, channel statistics, sampled tokens and histograms of every site."""
    rest = sum(4 * w * (4 + _SAMPLED_TOKENS) + _HISTOGRAM_BYTES for w in site_widths(sizes))
    return sizes.blocks * (moment_bytes(sizes) + rest)


def quantize_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """Codes, one byte each, with their scales and zero points; nothing for float weights."""
    if recipe.weights is None:
        return 0
    grown = expansion_of(recipe, sizes.size, sizes.parameters)
    weights = sizes.linear_parameters + (0 if grown is None else grown.added)
    group = recipe.weights.value.group
    scales = weights // group if group else sizes.linear_parameters // sizes.size.hidden
    return weights + 4 * scales * (1 if recipe.weights.value.symmetric else 2)


def moment_bytes(sizes: Sizes) -> int:
    """H of one block's four sites, float32."""
    return sum(4 * width * width for width in site_widths(sizes))


def site_widths(sizes: Sizes) -> tuple[int, int, int, int]:
    """Widths of a block's four sites, in execution order."""
    size = sizes.size
    return size.hidden, size.attention, size.hidden, size.intermediate
