"""Microscaling: blocks of 32 elements share one power-of-two scale (OCP MX v1.0, §5 and §6.3).

    scale = 2^(⌊log2 max|v|⌋ − emax),  element = nearest(v / scale), half to even, saturating

The scale is stored as E8M0: the byte e stands for 2^(e − 127), and 255 for NaN; the exponent is
held in [−127, 127]. The specification's rule `floor` lets a maximum with a large mantissa saturate
(1.99 · 2^emax becomes 1.5 · 2^emax in E2M1). The rule `midmax` raises the exponent by one when the
maximum lies more than half way from the largest value to the next one up that the raised exponent
offers. With t that middle over 2^emax,

    exponent = ⌈log2 max|v| − log2 t⌉ − emax

t is 2 − 2^(−M−1), except in E4M3: its topmost code is NaN, so its largest mantissa is 1.75, the
next value up 1.875 and t = 1.8125 (464 of 448 and 480). A maximum up to t rounds to the same
number under either exponent.

Both come straight from the bits of the float32 maximum: its exponent field, after adding what makes
the mantissa carry when it is above the threshold (`midmax_carry`).

The specification leaves the conversion of NaN and infinities to the implementation. Here a block
that holds one has scale NaN, all of it: a broken activation is seen, not clipped away. A block of
zeros has the smallest scale. Arithmetic is float32 for every input type; a result too large for
the input's type (midmax may round the largest float16 up to 2^16) becomes infinite.

Gradients pass straight through (`kernels.straight_through`) where the element does not saturate,
|v| ≤ scale · its largest value, and are 0 elsewhere and in broken blocks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int32, Integer, UInt8
from torch import Tensor

from kernels.checks import require_quantizable, require_together
from kernels.dispatch import Implementation, choose, differentiates
from kernels.elements.values import (
    FLOAT32_MANTISSA,
    Element,
    decode,
    element_values,
    encode,
    midmax_carry,
    nearest,
)
from kernels.microscaling.values import BLOCK, E8M0_MAX, E8M0_NAN, ScaleRule
from kernels.straight_through import straight_through
from qcore.errors import KernelError


def shared_exponents(
    largest: Float[Tensor, "..."], element: Element, rule: ScaleRule = "floor"
) -> Int32[Tensor, "..."]:
    """E8M0 codes, 0 to 255, of the scales for blocks with these largest magnitudes (float32)."""
    bits = largest.view(torch.int32)
    if rule == "midmax":
        carry = midmax_carry(element)
        subnormal = bits < 1 << FLOAT32_MANTISSA  # one bit less of mantissa, at exponent −127
        bits = bits + torch.where(subnormal, carry >> 1, carry)
    # The float's own bias is E8M0's, and subnormals fall below the lowest scale either way.
    codes = (bits >> FLOAT32_MANTISSA).sub_(element.max_exponent).clamp_(0, E8M0_MAX)
    return codes.masked_fill_(~largest.isfinite(), E8M0_NAN)


def scales_of(codes: Integer[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The float32 powers of two that E8M0 codes stand for."""
    bits = codes.int() << FLOAT32_MANTISSA
    bits.masked_fill_(codes == 0, 1 << (FLOAT32_MANTISSA - 1))  # 2^−127 is subnormal in float32
    return bits.view(torch.float32).masked_fill_(codes == E8M0_NAN, torch.nan)


def quantize_microscaling(
    x: Float[Tensor, "... width"],
    element: Element,
    *,
    rule: ScaleRule = "floor",
    implementation: Implementation | None = None,
) -> tuple[Integer[Tensor, "... width"], UInt8[Tensor, "... blocks"]]:
    """Element codes and E8M0 scale codes of the blocks along the last axis.

    Elements of a block whose scale is NaN have code 0.

    Args:
        x: float32, bfloat16 or float16; any leading shape.
        element: what an element can represent.
        rule: for the shared exponents.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: a width that 32 does not divide, or a type that is no 32- or 16-bit float.
    """
    _check(x)
    choice = choose("microscaling codes", x.device, {"triton": None}, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.microscaling.triton import quantize  # triton is not on every machine

        return quantize(x.detach(), element, rule)
    blocks = _blocks(x)
    shared = shared_exponents(_largest(blocks), element, rule)
    values = nearest(blocks / scales_of(shared)[..., None], element)
    values.masked_fill_((shared == E8M0_NAN)[..., None], 0.0)
    return encode(values, element).reshape(x.shape), shared.to(torch.uint8)


def dequantize_microscaling(
    codes: Integer[Tensor, "... width"], shared: UInt8[Tensor, "... blocks"], element: Element
) -> Float[Tensor, "... width"]:
    """The float32 numbers that codes and E8M0 scale codes stand for.

    Raises:
        KernelError: codes and scales on different devices.
    """
    require_together(codes=codes, shared=shared)
    values = decode(codes, element).unflatten(-1, (-1, BLOCK))
    return values.mul_(scales_of(shared)[..., None]).flatten(-2)


def fake_quantize_microscaling(
    x: Float[Tensor, "... width"],
    element: Element,
    *,
    rule: ScaleRule = "floor",
    implementation: Implementation | None = None,
) -> Float[Tensor, "... width"]:
    """Quantize `x` and dequantize it, in its own type; codes are never formed.

    Args:
        x: float32, bfloat16 or float16; any leading shape.
        element: what an element can represent.
        rule: for the shared exponents.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: as `quantize_microscaling`.
    """
    _check(x)
    choice = choose(
        "microscaling rounding",
        x.device,
        {"compiled": None, "triton": None},
        implementation=implementation,
    )
    if not differentiates(x):
        return _fake_quantize(x, element, rule, choice.implementation)
    return straight_through(
        x,
        lambda x: _fake_quantize(x, element, rule, choice.implementation),
        lambda x: _unsaturated(x, element, rule),
    )


def _fake_quantize(
    x: Tensor, element: Element, rule: ScaleRule, implementation: Implementation
) -> Tensor:
    if implementation == "triton":
        from kernels.microscaling.triton import fake_quantize  # triton is not on every machine

        return fake_quantize(x, element, rule)
    if implementation == "compiled":
        from kernels.microscaling.compiled import (
            fake_quantize_microscaling_compiled,  # numba is slow to import
        )

        return fake_quantize_microscaling_compiled(x, element, BLOCK, midmax=rule == "midmax")
    blocks = _blocks(x)
    scale = scales_of(shared_exponents(_largest(blocks), element, rule))[..., None]
    return nearest(blocks / scale, element).mul_(scale).reshape(x.shape).to(x.dtype)


def _unsaturated(x: Tensor, element: Element, rule: ScaleRule) -> Tensor:
    blocks = _blocks(x)
    scale = scales_of(shared_exponents(_largest(blocks), element, rule))[..., None]
    most = element_values(element)[-1].item()
    return ((blocks / scale).abs_() <= most).reshape(x.shape)  # nothing compares to NaN


def _check(x: Tensor) -> None:
    require_quantizable(x)
    if x.shape[-1] % BLOCK:
        raise KernelError(
            f"block {BLOCK} does not divide {x.shape[-1]}", remedy="pad to a multiple"
        )


def _blocks(x: Float[Tensor, "... width"]) -> Float[Tensor, "... blocks 32"]:
    return x.float().unflatten(-1, (-1, BLOCK))


def _largest(blocks: Float[Tensor, "... blocks 32"]) -> Float[Tensor, "... blocks"]:
    return blocks.abs().amax(-1)  # NaN and ∞ come through; a max norm would be 20 times slower
