"""Second moments of a layer's inputs: which way round they are, and what is refused.

A layer computes X Wᵀ. Let X [tokens, in] be its inputs in the float network and X̃ those that the
quantized layers before it produce. Then

    H = X̃ᵀX̃   [in, in]   symmetric, H_ij = Σ_tokens x̃_i x̃_j
    G = X̃ᵀX   [in, in]   not symmetric, G_ij = Σ_tokens x̃_i x_j

The row index of G belongs to the quantized inputs: for one output channel w the correlation of the
layer's float output Xw with the quantized inputs is X̃ᵀ(Xw) = Gw, and for all rows of W at once it
is W Gᵀ (`correlation`). Every method of ours that takes `cross` means this G; where the inputs are
the float ones, X̃ = X and G = H.

Sums over tokens, not means: but every method here is unchanged when H and G are multiplied by one
positive number.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe, NotPositiveDefinite, NumericalError
from qcore.formats.coding import LOOK_AWAY, require_finite

INDEFINITE = 2.0**-10
"""Negative eigenvalues down to this fraction of the trace are taken for float32's rounding.

Summing n products in float32 errs by at most n·2^−24 of Σ|x_i x_j|, so an eigenvalue of H by at
most n·2^−24 of the trace. Where the inputs of all tokens are alike (blank lines, or one channel far
above the others) H has rank one nearly, its other eigenvalues are that error, and the sums drift
one way: measured, to 1/16 of the bound. For the 2^18 tokens of the papers' calibration that is
2^−10. A factorisation of such an H takes more damping, and reports it."""

ASYMMETRY = 1e-3
"""Largest |H − Hᵀ| relative to the largest |H| that is taken for rounding."""


def correlation(
    weight: Float[Tensor, "out in"], cross: Float[Tensor, "in in"]
) -> Float[Tensor, "out in"]:
    """Gw for every row w of the weight."""
    return weight @ cross.T


def require_moments(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None = None,
    *,
    definite: bool = True,
) -> None:
    """Refuse what no error can be measured with.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃.
        cross: X̃ᵀX, or None.
        definite: look at H's eigenvalues, too: one factorisation. Who factorises H may know better.

    Raises:
        InvalidRecipe: sizes that do not fit the weight.
        NumericalError: NaN or an infinity; an H that is not symmetric.
        NotPositiveDefinite: an H with a negative eigenvalue beyond rounding.
    """
    require_finite("weight", weight)
    for name, matrix in (("Hessian", hessian), ("cross moment", cross)):
        if matrix is None:
            continue
        if matrix.shape != (weight.shape[1], weight.shape[1]):
            raise InvalidRecipe(
                f"a {name} of {tuple(matrix.shape)} does not fit a weight of {tuple(weight.shape)}",
                remedy=f"pass the moment of {weight.shape[1]} × {weight.shape[1]}",
            )
        require_finite(name, matrix)
    _require_symmetric(hessian)
    if definite:
        require_semidefinite(hessian)


def require_semidefinite(hessian: Float[Tensor, "in in"]) -> None:
    """Refuse an H that is no X̃ᵀX̃ because it has a negative eigenvalue beyond rounding.

    One Cholesky factorisation, repeated in double where float32 cannot tell.

    Raises:
        NumericalError: H is not symmetric.
        NotPositiveDefinite: it has one.
    """
    _require_symmetric(hessian)
    # Float32 errs by less than half the slack, so what passes there passes in double.
    if _has_factor(hessian.float(), INDEFINITE / 2):
        return
    double = hessian.double()
    if not _has_factor(double, INDEFINITE):
        least = float(torch.linalg.eigvalsh(double)[0])
        raise NotPositiveDefinite(
            f"the Hessian has the eigenvalue {least:.3g} at a trace of "
            f"{float(double.trace()):.3g}, so it is no XᵀX",
            remedy=LOOK_AWAY,
        )


def _require_symmetric(hessian: Float[Tensor, "in in"]) -> None:
    skew, largest = float((hessian - hessian.T).abs_().max()), float(hessian.abs().max())
    if skew > ASYMMETRY * largest:
        raise NumericalError(
            f"the Hessian differs from its transpose by {skew:.3g}, its largest entry is "
            f"{largest:.3g}",
            remedy="pass X̃ᵀX̃ as the Hessian and X̃ᵀX as the cross moment",
        )


def _has_factor(hessian: Float[Tensor, "in in"], slack: float) -> bool:
    """Whether H + slack·tr(|H|)·I has a Cholesky factor; a zero H passes."""
    raised = hessian.clone()
    added = slack * float(hessian.diagonal().double().abs().sum())
    raised.diagonal().add_(added)
    return not torch.linalg.cholesky_ex(raised).info or not hessian.any()
