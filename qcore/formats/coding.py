"""What a Format's codes mean: its grid, codes ↔ numbers, and dynamic rounding of activations.

The arithmetic lives in `kernels`; this module names it in Formats. For a scale s and, in
asymmetric formats, a whole zero point z, a code stands for s·(k − z) (`int`), s·k/64 (MXINT8) or
s·minifloat(k).
"""

from __future__ import annotations

import functools

from jaxtyping import Float, Int
from torch import Tensor

from kernels.elements.values import MXINT8, Element, FixedPoint, Minifloat, element_values, nearest
from kernels.elements.values import decode as decode_element
from kernels.elements.values import encode as encode_element
from kernels.rotate_quantize.values import Integer, Microscaling, Quantizer
from qcore.errors import NumericalError
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales


def element_of(fmt: Format) -> Element:
    """The values one element can take, before scale and zero point."""
    if fmt.is_float:
        return Minifloat(fmt.exponent, fmt.mantissa)
    return FixedPoint(fmt.low, fmt.high) if fmt.kind == "int" else MXINT8


def grid(fmt: Format) -> Float[Tensor, " values"]:
    """Every value an element can be rounded to, ascending, at scale 1 and zero point 0."""
    return element_values(element_of(fmt))


def fake_quantize(x: Float[Tensor, "... width"], fmt: Format) -> Float[Tensor, "... width"]:
    """`x` as dynamic activation quantization leaves it: last axis, own type, any leading shape.

    Scales are found anew for each token or group (`kernels.integer`, `kernels.microscaling` state
    the conventions). A token, group or block with NaN or an infinity becomes NaN.

    Raises:
        InvalidRecipe: the format's group does not divide the width.
    """
    fmt.groups(x.shape[-1])
    return quantizer_of(fmt).apply(x)


@functools.cache
def quantizer_of(fmt: Format) -> Quantizer:
    """Dynamic activation quantization to `fmt` as the kernels take it."""
    if fmt.kind == "mx":
        return Microscaling(element_of(fmt), fmt.scale_rounding)
    return Integer(fmt.bits, fmt.symmetric, fmt.group)


def round_to_nearest(
    weight: Float[Tensor, "out in"], scales: Scales, fmt: Format
) -> Int[Tensor, "out in"]:
    """The code nearest to each weight at the given scales: half to even, saturating."""
    element = element_of(fmt)
    grouped, scale, zero = _grouped(weight, scales)
    return encode_element(nearest(grouped / scale, element, zero), element, zero).flatten(1)


def dequantize(quantized: Quantized) -> Float[Tensor, "out in"]:
    """The float32 weights that codes and scales stand for."""
    codes, scale, zero = _grouped(quantized.codes, quantized.scales)
    return decode_element(codes, element_of(quantized.format), zero).mul_(scale).flatten(1)


REPAIR = "repair the checkpoint: every weight must be a finite number"
"""What helps against weights that are none."""

LOOK_AWAY = (
    "calibrate on another text, or choose rounding rtn and scales absmax or mse, which look at no "
    "inputs"
)
"""What helps against second moments that are none."""


def require_finite(name: str, values: Tensor) -> None:
    """Refuse a matrix that holds NaN or an infinity.

    Raises:
        NumericalError: it does.
    """
    if values.sum().isfinite():  # NaN and infinities survive a sum: one pass clears most
        return
    broken = values.numel() - int(values.isfinite().sum())
    if broken:
        raise NumericalError(
            f"{broken} of {values.numel()} entries of the {name} are NaN or infinite",
            remedy=REPAIR if name == "weight" else LOOK_AWAY,
        )


def _grouped(matrix: Tensor, scales: Scales) -> tuple[Tensor, Tensor, Tensor | None]:
    """`matrix` as [out, groups, group], and scales and zero points that broadcast against it."""
    groups = scales.scale.shape[1]
    zero = None if scales.zero is None else scales.zero[:, :, None]
    return matrix.unflatten(1, (groups, -1)), scales.scale[:, :, None], zero
