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
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.elements import FixedPoint, nearest
from kernels.paths import Path, choose, differentiates
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
    path: Path | None = None,
) -> Float[Tensor, "... width"]:
    """What dynamic quantization makes of `x`, in its own type.

    Args:
        x: float32, bfloat16 or float16; any leading shape.
        bits: 2 to 8.
        symmetric: without zero points.
        group: consecutive features of the last axis that share a scale; None is all of them.
        path: which implementation; None leaves it to `kernels.paths`.

    Raises:
        KernelError: a group that does not divide the width, or another type.
    """
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise KernelError(f"cannot quantize {x.dtype}", remedy="pass float32, bfloat16 or float16")
    if group and x.shape[-1] % group:
        raise KernelError(
            f"group {group} does not divide {x.shape[-1]}", remedy="choose one that does"
        )
    element = integer_element(bits, symmetric=symmetric)
    against = "autograd follows" if differentiates(x) else None
    choice = choose("integer rounding", x.device, {"compiled": against}, path=path)
    if choice.path == "compiled":
        from kernels.dynamic_compiled import (
            fake_quantize_integer_compiled,
        )  # numba is slow to import

        return fake_quantize_integer_compiled(x, element, group or x.shape[-1])
    rows = x.float().unflatten(-1, (-1, group)) if group else x.float()
    if symmetric:
        scale, zero = symmetric_scale(rows, bits), None
    else:
        scale, zero = asymmetric_scale(rows, bits)
    return fake_quantize_with(rows, scale, zero, element).reshape(x.shape).to(x.dtype)


def _usable(scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`scale` with 1 where it is zero: an all-zero row, or one too small to have a scale."""
    return scale.masked_fill_(scale == 0, 1.0)
