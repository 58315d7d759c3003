"""GPFQ: greedy path following. Column by column, keep the quantized path close to the float one.

With X_t the inputs of column t in the float network, X̃_t those of the quantized one, and u the
difference that the columns so far have left in one channel's output (arXiv 2201.11113),

    u_t = u_{t−1} + w_t X_t − q_t X̃_t,
    q_t = Q(⟨X̃_t, u_{t−1} + w_t X_t⟩ / ‖X̃_t‖²).

**From second moments.** The samples enter only through inner products: with H = X̃ᵀX̃, G = X̃ᵀX,

    ⟨X̃_t, u_{t−1} + w_t X_t⟩ = Σ_{j≤t} G_tj w_j − Σ_{j<t} H_tj q_j,

so memory is that of H and G, whatever the number of tokens.

**At GPTQ's speed.** With D = G − H the quotient above is

    w_t + y_t + Σ_{j<t} (H_jt / H_tt) (w_j − q_j),   y = diag(H)⁻¹ tril(D) w,

which is rounding with feedback, F = triu(H)·diag(H)⁻¹, with the targets shifted by y
(`qcore.rounding.feedback`): one matrix product more than GPTQ, and no factorisation. Without drift
GPFQ is one Gauss–Seidel sweep with rounding, where GPTQ is elimination.

Damping adds λI to both H and G, the objective's λ‖w − q‖²; D does not change. Columns that no input
reached are then simply rounded. Unlike GPTQ's it serves no factorisation and may be zero for live
columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.numerics.moments import require_moments
from qcore.rounding.damping import DAMPING
from qcore.rounding.feedback import BLOCK, column_order, round_with_feedback


def gpfq(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    scales: Scales,
    fmt: Format,
    *,
    act_order: bool = True,
    damping: float = DAMPING["gpfq"],
) -> Quantized:
    """Codes by greedy path following, in float32.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃, on any positive scale.
        cross: G = X̃ᵀX on the same scale (`numerics.moments`); None where inputs are the float ones.
        scales: for every group; they do not change.
        fmt: what the codes mean.
        act_order: visit columns by falling diagonal of H.
        damping: λ as a fraction of mean diag H, from 0.

    Raises:
        InvalidRecipe: moments that do not fit the weight.
        NumericalError: NaN or an infinity; an H that is not symmetric.
        NotPositiveDefinite: an H with a negative eigenvalue beyond rounding.
    """
    require_moments(weight, hessian, cross)
    order = column_order(hessian, act_order=act_order)
    h = hessian.float()[order][:, order]
    dead = h.diagonal() == 0
    h.diagonal().add_(damping * float(h.diagonal().mean())).masked_fill_(dead, 1.0)
    pivots = h.diagonal().clone()
    shift = None
    if cross is not None:
        drift = (cross - hessian).float()[order][:, order]
        shift = _lower_product(drift, weight.float().T[order]).div_(pivots[:, None])
        shift[dead] = 0.0
    upper = h.triu_().div_(pivots)
    codes = round_with_feedback(weight, upper, scales, fmt, order=order, shift=shift)
    return Quantized(codes, scales, fmt, damping)


def _lower_product(
    matrix: Float[Tensor, "in in"], columns: Float[Tensor, "in out"]
) -> Float[Tensor, "in out"]:
    """tril(matrix) · columns, without the products that are zero; the matrix is used as scratch."""
    lower, product = matrix.tril_(), torch.empty_like(columns)
    for start in range(0, len(lower), BLOCK):
        stop = min(start + BLOCK, len(lower))
        torch.mm(lower[start:stop, :stop], columns[:stop], out=product[start:stop])
    return product
