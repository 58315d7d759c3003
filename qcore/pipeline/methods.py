"""A recipe's names to methods: which scales, which rounding, on which moments, in which order.

Nothing here knows a model. The moments are of one input site; rows of the weight are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.recipe import Recipe, ScalesPart
from qcore.rounding.damping import DAMPING
from qcore.rounding.gpfq import gpfq
from qcore.rounding.gptq import gptq
from qcore.rounding.interleaved import group_interleaved
from qcore.rounding.qronos import qronos
from qcore.rounding.rtn import rtn
from qcore.scales.find import find_scales
from qcore.scales.piso import piso


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of a site's input.

    Attributes:
        hessian: H = X̃ᵀX̃ of the inputs that rounding is to see (X̃ = X for float inputs).
        cross: G = X̃ᵀX, where the float inputs were walked beside the quantized ones.
        float_hessian: XᵀX, where decoupled scales want it and H is another.
    """

    hessian: Float[Tensor, "in in"]
    cross: Float[Tensor, "in in"] | None = None
    float_hessian: Float[Tensor, "in in"] | None = None


def needs_cross(recipe: Recipe) -> bool:
    """Whether the recipe compares quantized inputs with float ones."""
    if recipe.rounding.inputs == "float":
        return False
    return recipe.rounding.method in ("gpfq", "qronos") or recipe.scales.objective == "cross"


def find_scales_of(
    recipe: Recipe, weight: Float[Tensor, "out in"], fmt: Format, moments: Moments | None
) -> Scales | None:
    """Scales by the recipe's method; None where they are found while rounding, group by group.

    Args:
        recipe: its scales and rounding parts are read.
        weight: float32.
        fmt: what the codes mean.
        moments: of the weight's input; None where no method looks at inputs.

    Raises:
        NumericalError: the moments cannot be used.
        InvalidRecipe: the format's group does not divide the width.
    """
    if recipe.rounding.interleaving == "group":
        return None
    if moments is None:
        return _find(recipe.scales, weight, fmt, None, None)
    seen = moments.hessian if moments.float_hessian is None else moments.float_hessian
    return _find(recipe.scales, weight, fmt, seen, moments.cross)


def round_weight(
    recipe: Recipe,
    weight: Float[Tensor, "out in"],
    fmt: Format,
    moments: Moments | None,
    scales: Scales | None,
) -> Quantized:
    """Codes by the recipe's rounding, at the scales of `find_scales_of`.

    Raises:
        NumericalError: the moments cannot be used.
        InvalidRecipe: the format's group does not divide the width.
    """
    rounding = recipe.rounding
    order, damping = rounding.act_order, rounding.damping or DAMPING[rounding.method]
    if scales is None:
        assert moments is not None
        assert rounding.method in ("gptq", "qronos")
        return group_interleaved(
            weight,
            moments.hessian,
            moments.cross if rounding.method == "qronos" else None,
            fmt,
            lambda moved, seen: _find(recipe.scales, moved, fmt.with_group(None), seen, None),
            method=rounding.method,
            act_order=order,
            damping=damping,
        )
    if rounding.method == "rtn" or moments is None:
        return rtn(weight, scales, fmt)
    hessian, cross = moments.hessian, moments.cross
    match rounding.method:
        case "gptq":
            return gptq(weight, hessian, scales, fmt, act_order=order, damping=damping)
        case "gpfq":
            return gpfq(weight, hessian, cross, scales, fmt, act_order=order, damping=damping)
        case "qronos":
            return qronos(weight, hessian, cross, scales, fmt, act_order=order, damping=damping)
        case _:
            raise AssertionError(f"{rounding.method} is settled when the recipe is made")


def _find(
    knobs: ScalesPart, weight: Tensor, fmt: Format, hessian: Tensor | None, cross: Tensor | None
) -> Scales:
    if knobs.method != "piso":
        return find_scales(knobs.method, weight, fmt)
    return piso(
        weight,
        fmt,
        None if knobs.objective == "identity" else hessian,
        cross if knobs.objective == "cross" else None,
        objective=knobs.objective,
        grouping=knobs.grouping,
        refine=knobs.refine,
        signed=knobs.signed,
        storage=fmt.scale_type,
    )
