"""Minifloats between the formats: exponent and mantissa widths E and M that need not be whole.

A block of 32 with largest magnitude 2^e·m, 1 ≤ m < 2, is rounded as microscaling rounds it
(`kernels.microscaling.operation`); what whole numbers fix there is here a function of two real ones
(dMX, arXiv 2606.04115):

    bias 2^(E−1) − 1,   emax 2^(E−1),   largest value min(2^emax (2 − 2^−M), 448)
    scale s = 2^(e − emax),   v = x/s,   step = 2^(max(⌊log2|v|⌋, 1 − bias) − M)
    x̂ = s·clip(step·round(v/step)),   round half to even

At E2M1, E2M3, E3M2 and E4M3 that is `fake_quantize_microscaling` to the last bit: emax comes out as
2, 4 and 8, the values as 6, 7.5, 28 and, by the cap, 448. E5M2 gives its top exponent away and lies
outside (`MAX_EXPONENT`). Between the formats emax is no whole number and the scale no power of two,
on purpose: ⌊emax⌋ would make the clipping level, 2 − 2^−M in units of 2^e whatever E, a sawtooth.

Rounding has no useful derivative. Straight through, the *residue* r = round(v/step) − v/step is
held fixed, not the code, so that x̂ = x + rΔ with Δ = s·step, and in the three zones of a block

    normal      Δ = 2^(⌊log2|v|⌋ − M) s    ∂x̂/∂M = ln2 (x − x̂)          ∂x̂/∂E = 0
    subnormal   Δ = 2^(e + 2 − 2^E − M)    ∂x̂/∂M = ln2 (x − x̂)          ∂x̂/∂E = ln2² 2^E (x − x̂)
    clipped     x̂ = ±2^e (2 − 2^−M)        ∂x̂/∂M = ±ln2 2^e 2^−M         ∂x̂/∂E = 0
      capped    x̂ = ±448·2^(e − emax)      ∂x̂/∂M = 0                     ∂x̂/∂E = −ln2² 2^(E−1) x̂

These are the exact derivatives of that function of (E, M), zones and residues held. In the normal
zone the binades move with E, so an element's step changes by jumps, up as often as down: they have
no derivative. x̂ itself is a sawtooth in either width; what the residue's view follows is its trend.
Of a squared error, which falls with Δ² because the mean r² does not depend on the width, it is the
derivative averaged over whole bits, to about a tenth (docs/dmx.md). With respect to x the
derivative is 1, and 0 where x was clipped; scales are held (E8M0's two ends included).

Nothing but x is kept for the backward pass, which rounds again. Arithmetic is float32. On the CPU a
compiled twin (`kernels.continuous.compiled`) makes one pass of each direction.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.checks import require_quantizable
from kernels.continuous.values import Slopes, Widths
from kernels.dispatch import Implementation, choose
from kernels.elements.values import FLOAT32_EXPONENT_MASK, FLOAT32_MANTISSA
from kernels.microscaling.operation import scales_of
from kernels.microscaling.values import BLOCK, E8M0_MAX, E8M0_NAN, ScaleRule
from qcore.errors import KernelError


def quantize_continuous(
    x: Float[Tensor, "... width"],
    bits: Float[Tensor, "2"],
    widths: Widths | None = None,
    *,
    rule: ScaleRule = "floor",
    implementation: Implementation | None = None,
) -> Float[Tensor, "... width"]:
    """`x` rounded at fractional widths, in its own type; differentiable in `x` and `bits`.

    Args:
        x: float32, bfloat16 or float16; a block with NaN or an infinity becomes NaN.
        bits: E and M.
        widths: the same as plain numbers; spares a GPU the wait for them.
        rule: how the shared exponent is chosen; `midmax` at fractional M rounds up half a step
            above the largest value, as at whole ones: 2 − 2^(−M−1), or less where 448 caps it.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: a width that 32 does not divide, another type, or widths out of range.
    """
    require_quantizable(x)
    if x.shape[-1] % BLOCK:
        raise KernelError(
            f"block {BLOCK} does not divide {x.shape[-1]}", remedy="pad to a multiple"
        )
    known = Widths(*bits.tolist()) if widths is None else widths
    choice = choose(
        "continuous quantize", x.device, {"compiled": None}, implementation=implementation
    )
    found: Any = _Continuous.apply(x, bits, known, rule, choice.implementation)
    return found


class _Continuous(torch.autograd.Function):
    """One rounding: forward, and its straight-through gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bits: Tensor,
        widths: Widths,
        rule: ScaleRule,
        implementation: Implementation,
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.given = widths, rule, implementation
        blocks = x.detach().float().reshape(-1, BLOCK)
        if implementation == "compiled":
            from kernels.continuous.compiled import round_compiled  # numba is slow to import

            rounded = round_compiled(blocks, widths, rule)
        else:
            scale, values, _ = _rounded(blocks, widths, rule)
            rounded = values.clamp_(-widths.largest, widths.largest).mul_(scale)
        return rounded.view(x.shape).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        widths, rule, implementation = ctx.given
        blocks, grad = (item.detach().float().reshape(-1, BLOCK) for item in (x, grads[0]))
        if implementation == "compiled":
            from kernels.continuous.compiled import slopes_compiled

            slopes, passed = slopes_compiled(blocks, grad, widths, rule, ctx.needs_input_grad[0])
        else:
            slopes, passed = _slopes(blocks, grad, widths, rule, ctx.needs_input_grad[0])
        arrived = None if passed is None else passed.view(x.shape).to(x.dtype)
        return arrived, slopes.by_width(widths), None, None, None


def _rounded(
    blocks: Float[Tensor, "blocks 32"], widths: Widths, rule: ScaleRule
) -> tuple[Float[Tensor, "blocks 1"], Float[Tensor, "blocks 32"], Float[Tensor, "blocks 32"]]:
    """Scales, values rounded but not clipped, and their binades' powers of two."""
    largest = blocks.abs().amax(-1, keepdim=True)
    bits = largest.view(torch.int32)
    carry = widths.carry(rule)
    if carry:  # float32's subnormals have one bit less of mantissa
        bits = bits + torch.where(bits < 1 << FLOAT32_MANTISSA, carry >> 1, carry)
    codes = (bits >> FLOAT32_MANTISSA).sub_(widths.whole).clamp_(0, E8M0_MAX)
    codes.masked_fill_(~largest.isfinite(), E8M0_NAN)
    scale = scales_of(codes).mul_(widths.stretch)
    values = blocks / scale
    power = (values.view(torch.int32) & FLOAT32_EXPONENT_MASK).view(torch.float32)
    step = power.clamp_min(widths.smallest).mul_(widths.unit)
    return scale, values.div_(step).round_().mul_(step), power


def _slopes(
    blocks: Float[Tensor, "blocks 32"],
    grad: Float[Tensor, "blocks 32"],
    widths: Widths,
    rule: ScaleRule,
    through: bool,
) -> tuple[Slopes, Float[Tensor, "blocks 32"] | None]:
    """The sums of `Slopes`, and the gradient with respect to x if it is asked for."""
    scale, values, power = _rounded(blocks, widths, rule)
    clipped = values.abs() > widths.largest
    passed = grad.masked_fill(clipped, 0.0)
    error = values.mul_(scale).neg_().add_(blocks).mul_(passed)
    at_the_edge = torch.where(clipped, grad * blocks.sign() * scale, 0.0)
    slopes = Slopes(
        error.sum(dtype=torch.float64),
        torch.where(power < widths.smallest, error, 0.0).sum(dtype=torch.float64),
        at_the_edge.sum(dtype=torch.float64),
    )
    return slopes, passed if through else None
