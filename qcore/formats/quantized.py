"""A weight after quantization: codes, scales, zero points, and the Format that explains them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qcore.formats.format import Format, ScaleType


@dataclass(frozen=True, slots=True)
class Scales:
    """Scale and zero point of every group of every output channel.

    Attributes:
        scale: float32, non-zero; powers of two for MX formats.
        zero: whole numbers as float32; None for symmetric and MX formats.
    """

    scale: Float[Tensor, "out groups"]
    zero: Float[Tensor, "out groups"] | None = None


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized matrix.

    Attributes:
        codes: int8 or uint8. INT: the integer k. MXINT8: the numerator of k/64. Minifloats: the
            bit pattern (sign, exponent, mantissa) in the low bits.
        scales: see Scales.
        format: what the codes mean.
        damping: the damping that error correction needed, as a fraction of the mean diagonal;
            None where there was none.
        asked: the damping that was asked for, where it was not enough for a Cholesky factor.
    """

    codes: Int[Tensor, "out in"]
    scales: Scales
    format: Format
    damping: float | None = None
    asked: float | None = None


SCALE_TYPES: dict[ScaleType, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}


def storable(scales: Scales, fmt: Format) -> Scales:
    """The scales rounded to the format's scale type, as float32; powers of two as they are.

    A scale beyond the type's range becomes the nearest positive number within it, so that nothing
    is divided by zero.
    """
    if fmt.kind == "mx":
        return scales
    kind = SCALE_TYPES[fmt.scale_type]
    limits = torch.finfo(kind)
    held = scales.scale.clamp(limits.smallest_normal * limits.eps, limits.max).to(kind)
    return Scales(held.float(), scales.zero)
