"""A weight after quantization: codes, scales, zero points, and the Format that explains them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from qcore.formats.format import Format


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
    """

    codes: Int[Tensor, "out in"]
    scales: Scales
    format: Format
    damping: float | None = None
