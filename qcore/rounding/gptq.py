"""GPTQ: round columns in order, each one making up for the errors of those before it.

Minimises ‖X(W − Ŵ)ᵀ‖² = tr (W − Ŵ) H (W − Ŵ)ᵀ, H = XᵀX, greedily (arXiv 2210.17323, §3), with

- act-order: columns by falling H_ii, so that the ones that matter most are rounded while others are
  still free; scales stay those of the columns' own groups ("static groups");
- damping: a fraction of the mean of diag H on the diagonal, raised in steps of ten when the
  Cholesky factorisation fails, and reported;
- dead columns (H_ii = 0) rounded to nearest: no calibration token reached them, another text may.

The factorisation and the blocked loop are in `qcore.rounding.feedback`, which says why no inverse
of H is needed. Works in float32 for any Format, scales given.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.formats.coding import require_finite
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.rounding.damping import DAMPING
from qcore.rounding.feedback import column_order, feedback_factor, round_with_feedback


def gptq(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    scales: Scales,
    fmt: Format,
    *,
    act_order: bool = True,
    damping: float = DAMPING["gptq"],
) -> Quantized:
    """Codes that keep the layer's output, and the damping that was needed.

    Args:
        weight: any float type.
        hessian: XᵀX over calibration tokens, on any positive scale; symmetric.
        scales: for every group; they do not change.
        fmt: what the codes mean.
        act_order: visit columns by falling diagonal of H.
        damping: first fraction of mean diag H to add.

    Raises:
        InvalidRecipe: the Hessian's size is not the weight's width.
        NumericalError: NaN or an infinity in the weight or the Hessian.
        NotPositiveDefinite: no Cholesky factor at any damping up to 1.
    """
    if hessian.shape != (weight.shape[1], weight.shape[1]):
        raise InvalidRecipe(
            f"a Hessian of {tuple(hessian.shape)} does not fit a weight of {tuple(weight.shape)}",
            remedy=f"pass XᵀX of {weight.shape[1]} × {weight.shape[1]}",
        )
    require_finite("weight", weight)
    order = column_order(hessian, act_order=act_order)
    factor = feedback_factor(hessian, order, damping=damping)
    codes = round_with_feedback(weight, factor.upper, scales, fmt, order=order)
    return Quantized(codes, scales, fmt, factor.damping, factor.asked)
