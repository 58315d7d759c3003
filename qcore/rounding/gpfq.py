"""GPFQ: greedy path following. Column by column, keep the quantized path close to the float one.

With X_t the inputs of column t in the float network, X̃_t those of the quantized one, and u the
difference that the columns so far have left in one channel's output (arXiv 2201.11113),

    u_t = u_{t−1} + w_t X_t − q_t X̃_t,
    q_t = Q(⟨X̃_t, u_{t−1} + w_t X_t⟩ / ‖X̃_t‖²).

**From second moments.** The samples enter only through inner products: with H = X̃ᵀX̃, G = X̃ᵀX,

    ⟨X̃_t, u_{t−1} + w_t X_t⟩ = Σ_{j≤t} G_tj w_j − Σ_{j<t} H_tj q_j,

so memory is that of H and G, whatever the number of tokens.

**At GPTQ's speed.** Let w̃ solve tril(H) w̃ = tril(G) w. Then the quotient above is

    w̃_t + Σ_{j<t} (H_jt / H_tt) (w̃_j − q_j),

which is rounding with feedback, F = triu(H)·diag(H)⁻¹, started from w̃ (`qcore.rounding.feedback`).
For G = H it is w̃ = w, and GPFQ is one Gauss–Seidel sweep with rounding, where GPTQ is elimination.

Damping adds λI to both H and G, the objective's λ‖w − q‖²: columns that no input reached are then
simply rounded. Unlike GPTQ's it serves no factorisation and may be zero for live columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.moments import correlation, require_moments
from qcore.rounding.feedback import column_order, round_with_feedback


def gpfq(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    scales: Scales,
    fmt: Format,
    *,
    act_order: bool = True,
    damping: float = 1e-6,
) -> Quantized:
    """Codes by greedy path following; moments in float64, rounding in float32.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃, on any positive scale.
        cross: G = X̃ᵀX on the same scale (`qcore.moments`); None where inputs are the float ones.
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
    h = hessian.double()[order][:, order]
    g = h.clone() if cross is None else cross.double()[order][:, order]
    added = damping * float(h.diagonal().mean())
    dead = h.diagonal() == 0
    for moment in (h, g):
        moment.diagonal().add_(added).masked_fill_(dead, 1.0)
    start = torch.linalg.solve_triangular(
        h, correlation(weight.double()[:, order], g.tril()).T, upper=False
    )
    upper = (h.triu() / h.diagonal()).float()
    # solve_triangular reads the lower triangle of h alone.
    moved = torch.empty_like(weight, dtype=torch.float64)
    moved[:, order] = start.T
    codes = round_with_feedback(moved, upper, scales, fmt, order=order)
    return Quantized(codes, scales, fmt, damping)
