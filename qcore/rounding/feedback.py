"""Rounding with feedback: the machinery that GPTQ, Qronos and group-interleaved scales share.

With e = w − ŵ for one output channel, error correction minimises eᵀHe one column at a time. Let
H = RRᵀ with R *upper* triangular (a Cholesky factorisation from the last column to the first) and
F = R·diag(R)⁻¹, whose diagonal is 1. Then

    eᵀHe = Σ_j R_jj² (e_j + Σ_{i<j} F_ij e_i)²

and only columns up to j stand in term j. So column j is rounded from the target that makes its term
least given the errors already made,

    target_j = w_j + Σ_{i<j} F_ij (w_i − ŵ_i).

These are GPTQ's codes: its update w_j −= err·U_ij with U the upper Cholesky factor of H⁻¹ = UᵀU has
U = R⁻¹. But H is never inverted here, which saves two of the three cubic steps and the rounding
error they make, and a target reads past errors instead of rewriting all the weights to come.

Where the layer's inputs have moved (X̃ ≠ X), GPFQ and Qronos add a *shift* y_j to every target; the
rest stays as it is.

Columns are handled in visiting order and transposed, `[in, out]`. One matrix product brings a block
of `BLOCK` columns the error propagated from earlier blocks; `kernels.gptq.operation` does the rest.

The public order of use: `column_order` → `feedback_factor` → `round_with_feedback`. Callers that
learn scales on the way (group-interleaving) drive `round_columns` a block at a time, with
`pending_columns` for the weights that would be best for a block before it is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from kernels.dispatch import Implementation
from kernels.elements.values import code_dtype, encode
from kernels.gptq.operation import round_block
from qcore.errors import NotPositiveDefinite
from qcore.formats.coding import element_of, require_finite
from qcore.formats.format import Format
from qcore.formats.quantized import Scales
from qcore.rounding.damping import DAMPING

BLOCK = 128
DAMPING_STEP = 10.0
DAMPING_LIMIT = 1.0


def column_order(
    hessian: Float[Tensor, "in in"], *, act_order: bool = True
) -> Int64[Tensor, " in"]:
    """The order to visit columns in: by falling diagonal of H, ties by position, or as they lie."""
    if act_order:
        return torch.argsort(hessian.diagonal(), descending=True, stable=True)
    return torch.arange(len(hessian), device=hessian.device)


@dataclass(frozen=True, slots=True)
class Factor:
    """The factor that carries errors to later columns, in visiting order.

    Attributes:
        upper: F of the module's text: upper triangular, unit diagonal.
        pivots: diag(R)², so that the damped H is F·diag(pivots)·Fᵀ.
        damping: what was added to the diagonal, as a fraction of its mean.
        asked: the fraction that was asked for, where it was not enough; else None.
    """

    upper: Float[Tensor, "in in"]
    pivots: Float[Tensor, " in"]
    damping: float
    asked: float | None = None


def feedback_factor(
    hessian: Float[Tensor, "in in"],
    order: Int64[Tensor, " in"] | None = None,
    *,
    damping: float = DAMPING["gptq"],
    dtype: torch.dtype = torch.float32,
) -> Factor:
    """Factor a Hessian into F, its columns taken in `order`, in `dtype`.

    Columns that no input ever reached (H_ii = 0) make no error and receive none. When the damped
    Hessian has no Cholesky factor, ten times the damping is tried, up to the mean diagonal itself.

    Raises:
        NumericalError: H holds NaN or an infinity.
        NotPositiveDefinite: no damping up to 1 gave a factor.
    """
    require_finite("Hessian", hessian)
    order = torch.arange(len(hessian), device=hessian.device) if order is None else order
    backwards = order.flip(0)
    damped = hessian.to(dtype)[backwards].index_select(1, backwards)
    diagonal = damped.diagonal().clone()
    mean, asked = float(diagonal.mean()), damping
    while True:
        damped.diagonal().copy_(diagonal + damping * mean).masked_fill_(diagonal == 0, 1.0)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed and lower.diagonal().isfinite().all():
            break
        if damping * DAMPING_STEP > DAMPING_LIMIT:
            raise NotPositiveDefinite(
                f"the Hessian has no Cholesky factor at damping {damping:g} of its mean diagonal "
                f"{mean:.3g}; its smallest diagonal entry is {float(diagonal.min()):.3g}",
                remedy="calibrate on another text, or choose rounding rtn, which needs no factor",
            )
        damping *= DAMPING_STEP
    roots = lower.diagonal().clone()
    lower /= roots
    raised = asked if damping > asked else None
    return Factor(lower.flip(0, 1), roots.flip(0).square(), damping, raised)


def round_with_feedback(
    weight: Float[Tensor, "out in"],
    upper: Float[Tensor, "in in"],
    scales: Scales,
    fmt: Format,
    *,
    order: Int64[Tensor, " in"] | None = None,
    shift: Float[Tensor, "in out"] | None = None,
    implementation: Implementation | None = None,
) -> Int[Tensor, "out in"]:
    """Codes of a whole matrix; `weight`, `scales` and the result in the layer's own column order.

    Args:
        weight: finite.
        upper: F, in visiting order (`feedback_factor(...).upper`).
        scales: given up front for every group (act-order with static groups).
        fmt: what the codes mean.
        order: the visiting order that `upper` was made with; None is as the columns lie.
        shift: y, in visiting order and transposed; None is zero.
        implementation: see `kernels.gptq.operation.round_block`.
    """
    width = weight.shape[1]
    order = torch.arange(width, device=weight.device) if order is None else order
    group_of = order // (width // scales.scale.shape[1])
    columns = weight.float().T.contiguous()[order]
    codes = round_columns(
        columns, upper, scales, fmt, group_of, shift=shift, implementation=implementation
    )
    return torch.empty_like(codes).index_copy_(0, order, codes).T.contiguous()


def round_columns(
    columns: Float[Tensor, "in out"],
    upper: Float[Tensor, "in in"],
    scales: Scales,
    fmt: Format,
    group_of: Int64[Tensor, " in"],
    *,
    shift: Float[Tensor, "in out"] | None = None,
    implementation: Implementation | None = None,
) -> Int[Tensor, "in out"]:
    """Codes of columns in visiting order, transposed.

    Args:
        columns: the weights, one row for each column visited.
        upper: F.
        scales: of every group, `[out, groups]`.
        fmt: what the codes mean.
        group_of: the group of each visited column.
        shift: y, None is zero.
        implementation: see `kernels.gptq.operation.round_block`.
    """
    element = element_of(fmt)
    scale = scales.scale.T.contiguous()
    zero = None if scales.zero is None else scales.zero.T.contiguous()
    codes = torch.empty(columns.shape, dtype=code_dtype(element), device=columns.device)
    errors = torch.empty_like(columns)
    for start in range(0, len(columns), BLOCK):
        block = slice(start, min(start + BLOCK, len(columns)))
        groups = group_of[block]
        values, errors[block] = round_block(
            columns[block],
            propagated_error(upper, errors, block, shift),
            upper[block, block],
            scale,
            zero,
            groups,
            element,
            implementation=implementation,
        )
        codes[block] = encode(values, element, None if zero is None else zero[groups])
    return codes


def propagated_error(
    upper: Float[Tensor, "in in"],
    errors: Float[Tensor, "in out"],
    block: slice,
    shift: Float[Tensor, "in out"] | None = None,
) -> Float[Tensor, "block out"]:
    """Sum what moves the columns of `block`: the errors of all columns before it, and the shift."""
    moved = upper[: block.start, block].T @ errors[: block.start]
    return moved if shift is None else moved.add_(shift[block])


def pending_columns(
    columns: Float[Tensor, "in out"],
    upper: Float[Tensor, "in in"],
    errors: Float[Tensor, "in out"],
    block: slice,
    shift: Float[Tensor, "in out"] | None = None,
) -> Float[Tensor, "block out"]:
    """The real-valued weights that would be best for `block`, given the errors before it.

    GPTQ's "updated weights": all terms of the objective from the block on become zero, so the
    errors in the block solve the unit triangular system Fᵀe = −p, p the propagated error. A scale
    that is learned when error correction reaches its group is fitted to these.
    """
    moved = propagated_error(upper, errors, block, shift)
    return columns[block] + torch.linalg.solve_triangular(
        upper[block, block].T, moved, upper=False, unitriangular=True
    )
