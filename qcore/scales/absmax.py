"""Scales from the largest magnitude alone: no search, no data.

    int, symmetric     s = max|w| / 2^(b−1)                      ("/8" at 4 bits)
    int, asymmetric    s = (max − min) / (2^b − 1), z = round(−min/s), the range widened to hold 0
    mx                 s = 2^(⌊log2 max|w|⌋ − emax), OCP MX v1.0 §6.3, or the midmax rule

The symmetric convention decides results at low bits, and tools differ: /7 never clips, wasting the
code −8, /7.5 makes at most half a step of error at either end, /8 uses every code and clips a
positive maximum by one step, for a grid 1/8 finer than /7. Ours is /8: most weights lie in the
middle, where the finer grid pays, and it is the convention of the papers this tool follows.

A group of zeros gets scale 1 (its codes are all zero); for MX the smallest scale.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kernels.integer.operation import asymmetric_scale
from kernels.microscaling.operation import scales_of, shared_exponents
from qcore.formats.coding import element_of, require_finite
from qcore.formats.format import Format
from qcore.formats.quantized import Scales


def absmax(weight: Float[Tensor, "out in"], fmt: Format) -> Scales:
    """Scales that reach each group's largest magnitude.

    Raises:
        InvalidRecipe: the format's group does not divide the width.
        NumericalError: a weight is NaN or infinite.
    """
    require_finite("weight", weight)
    groups = weight.float().unflatten(1, (fmt.groups(weight.shape[1]), -1))
    if fmt.kind == "int" and not fmt.symmetric:
        scale, zero = asymmetric_scale(groups, fmt.bits)
        return Scales(scale.squeeze(-1), zero.squeeze(-1))
    largest = groups.abs().amax(-1)
    if fmt.kind == "mx":
        return Scales(scales_of(shared_exponents(largest, element_of(fmt), fmt.scale_rounding)))
    scale = largest / 2 ** (fmt.bits - 1)
    return Scales(scale.masked_fill_(scale == 0, 1.0))
