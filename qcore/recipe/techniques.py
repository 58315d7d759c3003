"""A recipe taken apart into its techniques, and put together again with some of them.

Below every recipe stands its *plain* one: the same formats, groups and inputs, rounded to nearest
with scales of the largest magnitude, in the basis that the network came in. What a recipe has
beyond that is told in seven techniques, in the order in which they act on a network:

    transform     rotations
    permutation   the order of channels in the blocks of an online rotation
    expansion     wider inputs of online rotations
    scale         how scales are found: MSE, PiSO; of MX formats how shared exponents are rounded
    rounding      GPTQ, GPFQ, Qronos, with column order, damping and interleaving
    inputs        what scales and rounding look at: the quantized network's inputs, not the float's
    budget        bits spent layer by layer

Not every choice of techniques is a recipe. A permutation and an expansion go where the rotation
goes, and a view of quantized inputs where nothing looks at inputs. Two settings have an equal that
stands alone: PiSO's objective `cross` (float against quantized inputs) is `self` while inputs are
float, since both are then the same; inputs from `block` to block are `quantized` ones where nothing
compares them with float ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from qcore.formats.format import FORMATS, ScaleType
from qcore.recipe.parts import Activations, Evaluation, Rounding, ScalesPart, Weights
from qcore.recipe.recipe import Recipe

_Part = TypeVar("_Part", Weights, Activations)

TECHNIQUES = ("transform", "permutation", "expansion", "scale", "rounding", "inputs", "budget")
"""In the order in which they act on a network."""


def techniques_of(recipe: Recipe) -> tuple[str, ...]:
    """The techniques that a recipe has beyond its plain one, in their order."""
    plain = _without_idle(recipe)
    parts = [part for part in (plain.weights, plain.activations) if part is not None]
    there = {
        "transform": plain.rotation is not None,
        "permutation": plain.permutation is not None,
        "expansion": plain.expansion is not None,
        "scale": plain.scales.method != "absmax"
        or any(part.scale_rounding != "floor" for part in parts),
        "rounding": plain.rounding.method != "rtn",
        "inputs": plain.rounding.inputs != "float",
        "budget": plain.precision is not None,
    }
    return tuple(name for name in TECHNIQUES if there[name])


def with_only(recipe: Recipe, kept: Collection[str]) -> Recipe:
    """The recipe with these of its techniques; what needs one that is not kept goes, too.

    Args:
        recipe: to take from.
        kept: names of `TECHNIQUES`; those that the recipe lacks change nothing.
    """
    turned = recipe.rotation is not None and "transform" in kept
    online = turned and recipe.rotation is not None and recipe.rotation.online
    scales = recipe.scales if "scale" in kept else ScalesPart("absmax", storage=_storage(recipe))
    corrects = recipe.rounding.method != "rtn" and "rounding" in kept
    rounding = recipe.rounding if corrects else replace(_PLAIN, inputs=recipe.rounding.inputs)
    if not corrects and recipe.rounding.interleaving != "group":
        rounding = replace(rounding, interleaving=recipe.rounding.interleaving)
    if "inputs" not in kept or not _looks(rounding, scales):
        rounding = replace(rounding, inputs="float")
    compares = rounding.method in ("gpfq", "qronos") or scales.objective == "cross"
    if rounding.inputs == "block" and not compares:
        rounding = replace(rounding, inputs="quantized")
    if scales.objective == "cross" and rounding.inputs == "float":
        scales = replace(scales, objective="self")
    found = replace(
        recipe,
        weights=recipe.weights if "scale" in kept else _floored(recipe.weights),
        activations=recipe.activations if "scale" in kept else _floored(recipe.activations),
        rotation=recipe.rotation if turned else None,
        permutation=recipe.permutation if online and "permutation" in kept else None,
        expansion=recipe.expansion if online and "expansion" in kept else None,
        precision=recipe.precision if "budget" in kept else None,
        scales=scales,
        rounding=rounding,
    )
    return _without_idle(found)


def essence(recipe: Recipe) -> Recipe:
    """The recipe without what changes none of its losses: equal essences come to equal losses.

    Left out are fields that nothing reads, such as a seed that nothing draws from or a calibration
    that only tells layers' output errors, and the questions of zero-shot tasks. How many windows
    are scored counts.
    """
    plain = _without_idle(recipe)
    part, order, turn = plain.precision, plain.permutation, plain.rotation
    reads_text = (
        _looks(plain.rounding, plain.scales)
        or order is not None
        or (part is not None and part.method in ("kl", "knapsack", "dmx"))
        or plain.suffix is not None
    )
    draws = (
        plain.suffix is not None
        or (turn is not None and turn.signs)
        or (order is not None and order.method == "random")
        or (part is not None and part.method in ("random", "dmx"))
    )
    return replace(
        plain,
        calibration=plain.calibration if reads_text else None,
        evaluation=replace(plain.evaluation, tasks=(), limit=_LIMIT, divergence=True),
        seed=plain.seed if draws else 0,
    )


_PLAIN = Rounding("rtn")
_LIMIT = Evaluation.__dataclass_fields__["limit"].default


def _without_idle(recipe: Recipe) -> Recipe:
    """The recipe with defaults where a field counts for nothing beside the others."""
    rounding, scales = recipe.rounding, replace(recipe.scales, storage=_storage(recipe))
    if recipe.weights is None:
        rounding, scales = _PLAIN, ScalesPart("absmax")
    elif rounding.method == "rtn":
        rounding = replace(rounding, act_order=True, damping=None)
    if not _looks(rounding, scales):
        rounding = replace(rounding, interleaving="layer", inputs="float")
    order, wider = recipe.permutation, recipe.expansion
    return replace(
        recipe,
        weights=_floored(recipe.weights) if _is_integer(recipe.weights) else recipe.weights,
        activations=_floored(recipe.activations)
        if _is_integer(recipe.activations)
        else recipe.activations,
        permutation=None if order is not None and order.method == "identity" else order,
        expansion=None if wider is not None and wider.percent == 0 else wider,
        scales=scales,
        rounding=rounding,
    )


def _looks(rounding: Rounding, scales: ScalesPart) -> bool:
    """Whether anything looks at the inputs of layers."""
    finds = scales.method == "piso" and scales.objective != "identity"
    return rounding.method != "rtn" or finds


def _storage(recipe: Recipe) -> ScaleType:
    """The type of stored scales; the default where all are powers of two."""
    return recipe.scales.storage if recipe.has_float_scales else "float16"


def _is_integer(part: Weights | Activations | None) -> bool:
    """Whether a format is an INT one, which has no shared exponents."""
    return part is not None and FORMATS[part.format].kind == "int"


def _floored(part: _Part | None) -> _Part | None:
    return None if part is None else replace(part, scale_rounding="floor")
