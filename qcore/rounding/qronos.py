"""Qronos: error correction that also makes up for errors made in earlier layers.

Minimises ‖Xw − X̃q‖² for each output channel (arXiv 2505.11695): the layer, fed what the quantized
network really gives it (X̃), should produce what the float layer produced on float inputs (X). Each
column is rounded with all later ones free to make up for it. In visiting order, H = X̃ᵀX̃, G = X̃ᵀX:

    q₁   = Q(ŵ₁),  ŵ₁ = ((Gw)₁ − Σ_{j>1} H_1j w_j) / H₁₁
    w_≥2 = (H_≥2,≥2 + λI)⁻¹ [(Gw)_≥2 + λ w_≥2 − H_≥2,1 q₁]

and from there on it is GPTQ on the damped H.

**GPTQ with shifted targets.** Put ŵ₁ for q₁ in the second line and call the result ŵ_≥2. Then w_≥2
differs from ŵ_≥2 by (H_≥2,≥2 + λI)⁻¹ H_≥2,1 (ŵ₁ − q₁), which is precisely how GPTQ passes on the
error of its first column. So Qronos is GPTQ started from ŵ instead of w. With D = G − H,

    ŵ₁ − w₁ = (Dw)₁ / H₁₁,    ŵ_≥2 − w_≥2 = (H_≥2,≥2 + λI)⁻¹ [(Dw)_≥2 − H_≥2,1 (ŵ₁ − w₁)].

GPTQ's target for column j is ŵ_j + Σ_{i<j} F_ij (ŵ_i − q_i). With the factorisation at hand,
H + λI = F·diag(p)·Fᵀ, the second solve of the inverse undoes what F does in that sum, the terms in
ŵ₁ − w₁ cancel, and what remains is

    w_j + y_j + Σ_{i<j} F_ij (w_i − q_i),    y₁ = (Dw)₁ / H₁₁,    y_≥2 = (diag(p)⁻¹ F⁻¹ D w)_≥2:

GPTQ from w itself with every target shifted by y (`qronos_shift`), one triangular solve. With X̃ = X
it is y = 0, and Qronos is GPTQ.

λ = damping · σ_max(H), the paper's convention: 1e-6, or 1e-3 under a rotated 4-bit network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from qcore.errors import NotPositiveDefinite
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.numerics.moments import INDEFINITE, require_moments, require_semidefinite
from qcore.rounding.damping import DAMPING
from qcore.rounding.feedback import Factor, column_order, feedback_factor, round_with_feedback

POWER_STEPS = 30
POWER_GAIN = 1e-5
"""The iteration ends with a step that raises the value by less than this fraction."""


def qronos(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    scales: Scales,
    fmt: Format,
    *,
    act_order: bool = True,
    damping: float = DAMPING["qronos"],
) -> Quantized:
    """Codes that keep the float network's output; factor and solve in float64, the rest in float32.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃, on any positive scale.
        cross: G = X̃ᵀX on the same scale (`numerics.moments`); None where inputs are the float ones.
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
    require_moments(weight, hessian, cross, definite=False)
    order = column_order(hessian, act_order=act_order)
    factor = qronos_factor(hessian, order, damping=damping)
    shift = qronos_shift(weight, hessian, cross, factor, order)
    codes = round_with_feedback(weight, factor.upper.float(), scales, fmt, order=order, shift=shift)
    return Quantized(codes, scales, fmt, factor.damping, factor.asked)


def qronos_factor(
    hessian: Float[Tensor, "in in"],
    order: Int64[Tensor, " in"],
    *,
    damping: float = DAMPING["qronos"],
) -> Factor:
    """The feedback factor in float64, damped by a fraction of the largest eigenvalue.

    Raises:
        NotPositiveDefinite: H has a negative eigenvalue beyond rounding, or no Cholesky factor at
            any damping up to the mean diagonal.
    """
    mean = float(hessian.diagonal().mean())
    relative = damping * largest_eigenvalue(hessian) / mean if mean > 0 else damping
    try:
        factor = feedback_factor(hessian, order, damping=min(relative, 1.0), dtype=torch.float64)
    except NotPositiveDefinite:
        require_semidefinite(hessian)  # says more, where it is the reason
        raise
    if factor.damping > INDEFINITE * len(hessian):  # else the factor itself has shown it
        require_semidefinite(hessian)
    return factor


def qronos_shift(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    factor: Factor,
    order: Int64[Tensor, " in"],
) -> Float[Tensor, "in out"] | None:
    """Return y of the module's text, float32, in visiting order and transposed; None for zero.

    The product F⁻¹·D·Wᵀ is taken from the end that solves for fewer columns.

    Args:
        weight: the float weights.
        hessian: X̃ᵀX̃, undamped.
        cross: X̃ᵀX, or None for the Hessian itself.
        factor: of the damped Hessian in visiting order, float64 (`qronos_factor`).
        order: the visiting order.
    """
    if cross is None:
        return None
    drift = (cross - hessian)[order]  # rows in visiting order, columns as they lie
    live = hessian.diagonal()[order] > 0
    drift[~live] = 0.0
    if len(weight) < len(drift):
        shift = _solved(factor, drift.double() @ weight.double().T).float()
    else:
        shift = _solved(factor, drift.double()).float() @ weight.float().T
    if live[0]:  # else no input reached this layer
        shift[0] = weight.float() @ drift[0].float() / hessian[order[0], order[0]]
    return shift


def _solved(factor: Factor, right: Float[Tensor, "in columns"]) -> Float[Tensor, "in columns"]:
    """diag(p)⁻¹ F⁻¹ right."""
    solved = torch.linalg.solve_triangular(factor.upper, right, upper=True, unitriangular=True)
    return solved.div_(factor.pivots[:, None])


def largest_eigenvalue(matrix: Float[Tensor, "in in"]) -> float:
    """σ_max of a symmetric semi-definite matrix by power iteration, from below, within a per cent.

    The start is the diagonal, which no top eigenvector of a covariance is orthogonal to in
    practice; damping needs the magnitude only.
    """
    matrix = matrix.float()
    vector = torch.nn.functional.normalize(matrix.diagonal(), dim=0)
    value = 0.0
    for _ in range(POWER_STEPS):
        moved = matrix @ vector
        length = float(moved.norm())
        if length <= value * (1 + POWER_GAIN):
            break
        value, vector = length, moved / length
    return value
