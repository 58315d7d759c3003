"""Outcomes that changed for some recipes only, and what that adds to those recipes' keys.

A stage's version stands in the key of every run; raising it has everything computed anew. Where a
mended method changes what comes out for a few recipes, the name of the change goes into the keys of
just those, and all other keys stay what they were:

    midmax    mxfp8_e4m3 under the rule `midmax`: the threshold follows from its largest value, 448
    zeros     PiSO of integers with zero points: the default searches them exactly, or further
    products  rotations of widths that only a product of two Hadamard cores reaches
    two steps dMX in two steps: the second one is at the last temperature
    targets   suffixes: every target weighs the same in training
    answers   suffixes: each kind of answer has a limit of its own, and what it cuts comes last
"""

from __future__ import annotations

import functools
from pathlib import Path

from qcore.errors import ModelError
from qcore.models.folder import read_config
from qcore.models.source import ModelSource
from qcore.recipe import Recipe
from qcore.recipe.formats import formats_of
from qcore.recipe.parts import RotationPart

_MIDMAX = "midmax of E4M3 by its largest value"
_ZEROS = "PiSO's zero points exact"
_PRODUCTS = "Hadamard products of two cores"
_TWO_STEPS = "the last of two steps at the last temperature"
_TARGETS = "targets weigh the same"
_ANSWERS = "a limit for each kind of answer, cut suffixes last"


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
    """What changed about dMX: what it rounds weights and inputs by, and its temperatures."""
    raises = _raises(recipe, "weights") or _raises(recipe, "activations")
    short = recipe.precision is not None and recipe.precision.training.steps == 2
    return ([_MIDMAX] if raises else []) + ([_TWO_STEPS] if short else [])


def of_rotation(recipe: Recipe, source: ModelSource) -> list[str]:
    """What changed about the rotations of this network; looks into its config.json."""
    if recipe.rotation is None or source.kind == "demo":
        return []
    return [_PRODUCTS] if _meets_products(recipe.rotation, source.folder, source.digest) else []


def of_suffix_training(recipe: Recipe) -> list[str]:
    """What changed about how a network that predicts suffixes is trained."""
    return [_TARGETS] if recipe.suffix is not None else []


def of_answers(recipe: Recipe) -> list[str]:
    """What changed about how a network's suffixes are found."""
    return [_ANSWERS] if recipe.suffix is not None else []


def of_any(recipe: Recipe, source: ModelSource) -> list[str]:
    """What changed about anything in the recipe's Report."""
    trained = recipe.precision is not None and recipe.precision.method == "dmx"
    found = of_weights(recipe) + of_inputs(recipe) + (of_training(recipe) if trained else [])
    suffixes = of_suffix_training(recipe) + of_answers(recipe)
    return sorted({*found, *of_rotation(recipe, source), *suffixes})


def _raises(recipe: Recipe, what: str) -> bool:
    return any(
        fmt.name == "mxfp8_e4m3" and fmt.scale_rounding == "midmax"
        for use, fmt in formats_of(recipe)
        if use == what
    )


@functools.lru_cache(maxsize=64)
def _meets_products(rotation: RotationPart, folder: Path, content: str) -> bool:
    """Whether a width that is rotated whole needs two cores; `content` is the folder's digest."""
    try:
        config = read_config(folder)
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head = int(config.get("head_dim") or hidden // heads)
        inner = int(config["intermediate_size"])
    except (ModelError, KeyError, TypeError, ValueError, ZeroDivisionError, OSError):
        return False  # it is refused elsewhere, or loaded and looked at
    online = rotation.block is None
    wanted = ((rotation.r1, hidden), (rotation.r2, head), (rotation.r4 and online, inner))
    wanted += ((rotation.o_proj and online, heads * head),)
    return any(asked and _is_product(width) for asked, width in wanted)


def _is_product(width: int) -> bool:
    if width < 16 or width & 15:  # two cores have two factors of two each
        return False
    from qcore.transforms.hadamard import largest_block, order_for  # waits for torch

    order = order_for(largest_block(width))
    return order is not None and order.outer > 1
