"""Qronos: error correction that also makes up for errors made in earlier layers.

Minimises ‖Xw − X̃q‖² for each output channel (arXiv 2505.11695): the layer, fed what the quantized
network really gives it (X̃), should produce what the float layer produced on float inputs (X). Each
column is rounded with all later ones free to make up for it. In visiting order, H = X̃ᵀX̃, G = X̃ᵀX:

    q₁   = Q(ŵ₁),  ŵ₁ = ((Gw)₁ − Σ_{j>1} H_1j w_j) / H₁₁
    w_≥2 = (H_≥2,≥2 + λI)⁻¹ [(Gw)_≥2 + λ w_≥2 − H_≥2,1 q₁]

and from there on it is GPTQ on the damped H.

**One start, then GPTQ.** Put ŵ₁ for q₁ in the second line and call the result ŵ_≥2. Then w_≥2
differs from ŵ_≥2 by (H_≥2,≥2 + λI)⁻¹ H_≥2,1 (ŵ₁ − q₁), which is precisely how GPTQ passes on the
error of its first column. So Qronos is GPTQ started from ŵ instead of w (`qronos_start`): the same
factor, the same blocked rounding, one triangular solve more. With X̃ = X it is ŵ = w, and Qronos is
GPTQ.

λ = damping · σ_max(H), the paper's convention: 1e-6, or 1e-3 under a rotated 4-bit network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.moments import correlation, require_moments
from qcore.rounding.feedback import Factor, column_order, feedback_factor, round_with_feedback

POWER_STEPS = 30


def qronos(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    scales: Scales,
    fmt: Format,
    *,
    act_order: bool = True,
    damping: float = 1e-6,
) -> Quantized:
    """Codes that keep the float network's output; factor and start in float64, rounding in float32.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃, on any positive scale.
        cross: G = X̃ᵀX on the same scale (`qcore.moments`); None where inputs are the float ones.
        scales: for every group; they do not change.
        fmt: what the codes mean.
        act_order: visit columns by falling diagonal of H.
        damping: λ as a fraction of the largest eigenvalue of H; raised in steps of ten when the
            factorisation fails. The result reports it as a fraction of mean diag H, as GPTQ does.

    Raises:
        InvalidRecipe: moments that do not fit the weight.
        NumericalError: NaN or an infinity; an H that is not symmetric.
        NotPositiveDefinite: an H with a negative eigenvalue beyond rounding, or no Cholesky factor
            at any damping up to the mean diagonal.
    """
    require_moments(weight, hessian, cross)
    order = column_order(hessian, act_order=act_order)
    factor = qronos_factor(hessian, order, damping=damping)
    start = qronos_start(weight, hessian, cross, factor, order)
    codes = round_with_feedback(start, factor.upper.float(), scales, fmt, order=order)
    return Quantized(codes, scales, fmt, factor.damping)


def qronos_factor(
    hessian: Float[Tensor, "in in"], order: Int64[Tensor, " in"], *, damping: float = 1e-6
) -> Factor:
    """The feedback factor in float64, damped by a fraction of the largest eigenvalue."""
    mean = float(hessian.diagonal().mean())
    relative = damping * largest_eigenvalue(hessian) / mean if mean > 0 else damping
    return feedback_factor(hessian, order, damping=min(relative, 1.0), dtype=torch.float64)


def qronos_start(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    factor: Factor,
    order: Int64[Tensor, " in"],
) -> Float[Tensor, "out in"]:
    """ŵ of the module's text, float64, in the layer's own column order.

    Args:
        weight: the float weights.
        hessian: X̃ᵀX̃, undamped.
        cross: X̃ᵀX, or None for the Hessian itself.
        factor: of the damped Hessian in visiting order, float64 (`qronos_factor`).
        order: the visiting order.
    """
    w = weight.double()
    if cross is None:
        return w
    first, rest = order[0], order[1:]
    h = hessian.double()
    if h[first, first] == 0:
        return w  # H is zero: no input reached this layer
    aim = correlation(w, cross.double())
    start = w.clone()
    start[:, first] = (aim[:, first] - w[:, rest] @ h[first, rest]) / h[first, first]
    added = factor.damping * float(h.diagonal().mean())
    wanted = aim[:, rest] + added * w[:, rest] - torch.outer(start[:, first], h[first, rest])
    f, pivots = factor.upper[1:, 1:], factor.pivots[1:, None]
    # The trailing block of H + λI is F·diag(pivots)·Fᵀ of the trailing blocks, F upper triangular.
    middle = torch.linalg.solve_triangular(f, wanted.T, upper=True, unitriangular=True) / pivots
    solved = torch.linalg.solve_triangular(f.T, middle, upper=False, unitriangular=True).T
    live = h.diagonal()[rest] > 0
    start[:, rest[live]] = solved[:, live]
    return start


def largest_eigenvalue(matrix: Float[Tensor, "in in"]) -> float:
    """σ_max of a symmetric semi-definite matrix by power iteration, from below, within a per cent.

    The start is the diagonal, which no top eigenvector of a covariance is orthogonal to in
    practice; damping needs the magnitude only.
    """
    vector = matrix.diagonal().double().clone()
    matrix = matrix.double()
    value = 0.0
    for _ in range(POWER_STEPS):
        length = float(vector.norm())
        if length == 0.0:
            break
        vector = vector / length
        moved = matrix @ vector
        value = max(value, float(moved.norm()))
        vector = moved
    return value
