"""Dynamic integer quantization of activations: one scale per token, or per group of features.

    symmetric    s = max|x| / (2^(b−1) − 1)          k = clamp(round(x/s), −2^(b−1), 2^(b−1) − 1)
    asymmetric   s = (max − min) / (2^b − 1)          z = round(−min/s)
                                                     k = clamp(round(x/s) + z, 0, 2^b − 1)

and x̂ = s·(k − z). Conventions, since others differ: the symmetric scale reaches the largest
magnitude with the largest positive code (7 at 4 bits), so that an outlier is never clipped and the
code −2^(b−1) stays unused; the asymmetric range is widened to hold 0, and z is a whole number, so
that zero stays exactly zero. All rounding is half to even, all arithmetic float32.

A token (or group) of zeros gets scale 1. One that holds NaN or an infinity becomes NaN, all of it:
a broken activation is seen, not clipped away.

Gradients pass straight through (`kernels.straight_through`) where no code saturates: everywhere in
the symmetric case, and but for the rounding of the zero point in the other.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from kernels.checks import require_quantizable
from kernels.dispatch import Implementation, choose, differentiates
from kernels.elements.values import FixedPoint, nearest
from kernels.straight_through import straight_through
from qcore.errors import KernelError


def integer_element(bits: int, *, symmetric: bool) -> FixedPoint:
    """The codes of a `bits`-bit integer: two's complement, or 0 to 2^bits − 1."""
    half = 1 << (bits - 1)
    return FixedPoint(-half, half - 1) if symmetric else FixedPoint(0, 2 * half - 1)


def fake_quantize_with(
    x: Float[Tensor, "... group"],
    scale: Float[Tensor, "... #group"],
    zero: Float[Tensor, "... #group"] | None,
    element: FixedPoint,
) -> Float[Tensor, "... group"]:
    """Quantize and dequantize float32 `x` with given scales and whole zero points."""
    return nearest(x / scale, element, zero).mul_(scale)


def symmetric_scale(x: Float[Tensor, "... group"], bits: int) -> Float[Tensor, "... 1"]:
    """The scale of each row of float32 `x` that reaches its largest magnitude."""
    largest = x.abs().amax(-1, keepdim=True)
    return _usable(largest / ((1 << (bits - 1)) - 1))


def asymmetric_scale(
    x: Float[Tensor, "... group"], bits: int
) -> tuple[Float[Tensor, "... 1"], Float[Tensor, "... 1"]]:
    """The scale and whole zero point of each row of float32 `x` that span it and 0."""
    levels = (1 << bits) - 1
    # Two passes: torch's aminmax, which is one, takes several times as long on the CPU.
    low = x.amin(-1, keepdim=True).clamp_(max=0.0)
    high = x.amax(-1, keepdim=True).clamp_(min=0.0)
    scale = _usable(high / levels - low / levels)  # the difference itself might overflow
    return scale, (-low / scale).round_().clamp_(0, levels)


def fake_quantize_integer(
    x: Float[Tensor, "... width"],
    bits: int,
    *,
    symmetric: bool,
    group: int | None = None,
    implementation: Implementation | None = None,
) -> Float[Tensor, "... width"]:
    """Quantize `x` dynamically and dequantize it, in its own type.

    Args:
        x: float32, bfloat16 or float16; any leading shape.
        bits: 2 to 8.
        symmetric: without zero points.
        group: consecutive features of the last axis that share a scale; None is all of them.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: a group that does not divide the width, or another type.
    """
    require_quantizable(x)
    if group and x.shape[-1] % group:
        raise KernelError(
            f"group {group} does not divide {x.shape[-1]}", remedy="choose one that does"
        )
    if x.shape[-1] == 0:
        return x.clone()
    settings = _Settings(bits, symmetric, group or x.shape[-1])
    choice = choose(
        "integer rounding",
        x.device,
        {"compiled": None, "triton": None},
        implementation=implementation,
    )
    if not differentiates(x):
        return _fake_quantize(x, settings, choice.implementation)
    return straight_through(
        x,
        lambda x: _fake_quantize(x, settings, choice.implementation),
        lambda x: _unsaturated(x, settings),
    )


class _Settings(NamedTuple):
    bits: int
    symmetric: bool
    group: int

    @property
    def element(self) -> FixedPoint:
        return integer_element(self.bits, symmetric=self.symmetric)


def _fake_quantize(x: Tensor, settings: _Settings, implementation: Implementation) -> Tensor:
    if implementation == "triton":
        from kernels.integer.triton import fake_quantize  # triton is not on every machine

        return fake_quantize(
            x, settings.element, symmetric=settings.symmetric, group=settings.group
        )
    if implementation == "compiled":
        from kernels.integer.compiled import (
            fake_quantize_integer_compiled,  # numba is slow to import
        )

        return fake_quantize_integer_compiled(x, settings.element, settings.group)
    rows, scale, zero = _scaled(x, settings)
    return fake_quantize_with(rows, scale, zero, settings.element).reshape(x.shape).to(x.dtype)


def _unsaturated(x: Tensor, settings: _Settings) -> Tensor:
    """Mark values whose code did not saturate; none in a row that became NaN."""
    rows, scale, zero = _scaled(x, settings)
    low, high = settings.element.low, settings.element.high
    codes = (rows / scale).round_() if zero is None else (rows / scale).round_().add_(zero)
    return ((codes >= low) & (codes <= high) & scale.isfinite()).reshape(x.shape)


def _scaled(x: Tensor, settings: _Settings) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows [..., group] in float32, their scales and zero points."""
    rows = x.float().unflatten(-1, (-1, settings.group))
    if settings.symmetric:
        return rows, symmetric_scale(rows, settings.bits), None
    return rows, *asymmetric_scale(rows, settings.bits)


def _usable(scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`scale` with 1 where it is zero: an all-zero row, or one too small to have a scale."""
    return scale.masked_fill_(scale == 0, 1.0)
