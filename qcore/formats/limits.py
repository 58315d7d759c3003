"""What does not fit the types that hold it: counted, so that a Report can say it.

Three things have an end: a float scale its type's range, a shared exponent E8M0's −127 to 127, and
a code the format's grid. The first two are held at a number that the type has, and then the error
is the type's, not the method's. The third is a choice: clipping a few weights buys finer steps for
all others, and every method but absmax's exponents does it on purpose.

A type's lower end is not sharp: below its normal numbers it keeps fewer digits. A scale counts as
too small where half a unit in its last place is more than a hundredth of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.elements.values import FLOAT32_MANTISSA, element_values, midmax_carry
from kernels.microscaling.values import BLOCK
from qcore.formats.coding import element_of, grid
from qcore.formats.format import Format
from qcore.formats.quantized import SCALE_TYPES, Scales

COARSE = 0.01
"""Relative rounding error from which a scale is too small for its type."""

LEAST_EXPONENT, MOST_EXPONENT = -127, 127
"""What E8M0 holds."""


def beyond(weight: Float[Tensor, "out in"], scales: Scales, fmt: Format) -> dict[str, int]:
    """How many scales their type could not hold, by which end; empty where it held them all.

    Groups of zeros do not count: any scale serves them.

    Args:
        weight: float32, what was quantized.
        scales: as they are stored.
        fmt: says the type.
    """
    held = scales.scale.abs()
    largest = weight.abs().unflatten(1, (held.shape[1], -1)).amax(-1)
    if fmt.kind == "mx":
        element = element_of(fmt)
        top = float(element_values(element)[-1])
        name, one = "E8M0", "shared exponents"
        above = (held == 2.0**MOST_EXPONENT) & (largest / held > top)
        # The exponent that the largest weight asks for would be a smaller one.
        below = largest < 2.0 ** (LEAST_EXPONENT + element.max_exponent)
    else:
        limits = torch.finfo(SCALE_TYPES[fmt.scale_type])
        name, one = fmt.scale_type, "scales"
        above = held >= limits.max
        below = held < limits.smallest_normal * limits.eps / (2 * COARSE)
    some = largest > 0
    counts = {
        f"{one} too large for {name}": int((above & some).sum()),
        f"{one} too small for {name}": int((below & some).sum()),
    }
    return {what: count for what, count in counts.items() if count}


def held_exponents(
    x: Float[Tensor, "... width"], fmt: Format, *, rounded: bool = False
) -> Int[Tensor, ""]:
    """How many blocks of an MX input asked for a shared exponent that E8M0 lacks; on x's device.

    Blocks of zeros and broken ones do not count. A count and no more: it never waits for a GPU.

    Args:
        x: what is rounded, of any leading shape.
        fmt: an `mx` format.
        rounded: x has been rounded already. Blocks that rounding made zero, or lifted to the end
            from less than half a step below it, are then not seen.
    """
    element = element_of(fmt)
    largest = x.unflatten(-1, (-1, BLOCK)).abs().amax(-1).float()
    if fmt.scale_rounding == "floor":  # ⌊log₂ max⌋ − emax < −127; float32 ends before 128
        low = largest < 2.0 ** (LEAST_EXPONENT + element.max_exponent)
        return ((largest > 0) & low).count_nonzero()
    middle = 2 - (midmax_carry(element) + 1) / 2**FLOAT32_MANTISSA
    low = largest <= middle * 2.0 ** (LEAST_EXPONENT - 1 + element.max_exponent)
    high = middle * 2.0 ** (MOST_EXPONENT + element.max_exponent)
    held = (largest > 0) & low
    if not rounded and high < torch.finfo(torch.float32).max:
        held |= (largest > high) & largest.isfinite()
    return held.count_nonzero()


def clipped(weight: Float[Tensor, "out in"], scales: Scales, fmt: Format) -> int:
    """How many weights lie more than half a step beyond the last code that their scale gives.

    A property of weight and scales alone, whatever error correction made of the codes.
    """
    values = grid(fmt).to(weight.device)
    steps = weight.unflatten(1, (scales.scale.shape[1], -1)) / scales.scale[:, :, None]
    if scales.zero is not None:
        steps = steps + scales.zero[:, :, None]
    low = values[0] - (values[1] - values[0]) / 2
    high = values[-1] + (values[-1] - values[-2]) / 2
    return int(((steps < low) | (steps > high)).sum())
