"""Minifloats between the formats: exponent and mantissa widths E and M that need not be whole.

A block of 32 with largest magnitude 2^e·m, 1 ≤ m < 2, is rounded as in `kernels.microscaling`; what
there is fixed by whole numbers is here a function of two real ones (dMX, arXiv 2606.04115):

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
compiled twin (`kernels.continuous_compiled`) makes one pass of each direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.arguments import require_quantizable
from kernels.elements import FLOAT32_EXPONENT_MASK, FLOAT32_MANTISSA
from kernels.microscaling import BLOCK, E8M0_MAX, E8M0_NAN, ScaleRule, scales_of
from kernels.paths import Path, choose
from qcore.errors import KernelError

LARGEST = 448.0
"""Of E4M3, whose topmost code is NaN; wider exponents are held there too."""
MAX_EXPONENT = 4.0


@dataclass(frozen=True, slots=True)
class Widths:
    """Exponent bits E and mantissa bits M, and the constants that follow from them.

    Raises:
        KernelError: E outside [1, 4], or M outside [0, 10].
    """

    exponent: float
    mantissa: float

    def __post_init__(self):
        if not 1 <= self.exponent <= MAX_EXPONENT:
            raise KernelError(
                f"{self.exponent:g} exponent bits are not between 1 and 4",
                remedy="keep widths within both bounds",
            )
        if not 0 <= self.mantissa <= 10:
            raise KernelError(
                f"{self.mantissa:g} mantissa bits are not between 0 and 10",
                remedy="keep widths within both bounds",
            )

    @property
    def max_exponent(self) -> float:
        """Exponent of the largest value: emax."""
        return 2.0 ** (self.exponent - 1)

    @property
    def smallest(self) -> float:
        """The smallest normal value, 2^(1 − bias)."""
        return 2.0 ** (2 - 2.0 ** (self.exponent - 1))

    @property
    def unit(self) -> float:
        """Step of the binade from 1 to 2."""
        return 2.0**-self.mantissa

    @property
    def capped(self) -> bool:
        """Whether the largest value is held at 448."""
        return 2.0**self.max_exponent * (2 - self.unit) > LARGEST

    @property
    def largest(self) -> float:
        """The largest value."""
        return min(2.0**self.max_exponent * (2 - self.unit), LARGEST)

    @property
    def whole(self) -> int:
        """Binary places by which the scale lies below the largest magnitude's power of two: ⌈emax⌉.

        What that is too much is made up for by `stretch`.
        """
        return math.ceil(self.max_exponent)

    @property
    def stretch(self) -> float:
        """The scale over a power of two: 2^(⌈emax⌉ − emax), 1 at whole emax."""
        return 2.0 ** (self.whole - self.max_exponent)

    def carry(self, rule: ScaleRule) -> int:
        """What added to a float32's bits makes its mantissa carry where the rule rounds up."""
        if rule == "floor":
            return 0
        if not self.capped:
            return math.ceil(2.0 ** (FLOAT32_MANTISSA - 1 - self.mantissa)) - 1
        middle = LARGEST / 2.0**self.max_exponent + self.unit / 2
        return math.ceil((2 - middle) * (1 << FLOAT32_MANTISSA)) - 1


class Slopes(NamedTuple):
    """Sums over a tensor, with g the gradient that arrives at x̂; float64 scalars.

    Attributes:
        rounding: Σ g (x − x̂) over what was not clipped.
        subnormal: the same over the subnormals among them.
        clipping: Σ ±g s over what was clipped.
    """

    rounding: Float[Tensor, ""]
    subnormal: Float[Tensor, ""]
    clipping: Float[Tensor, ""]

    def by_width(self, widths: Widths) -> Float[Tensor, "2"]:
        """Gradient with respect to (E, M), float32: the zones of the module's text, summed."""
        log2 = math.log(2)
        by_exponent = log2 * log2 * 2**widths.exponent * self.subnormal
        by_mantissa = log2 * self.rounding
        if widths.capped:
            by_exponent = by_exponent - log2 * log2 * widths.max_exponent * LARGEST * self.clipping
        else:
            level = 2.0**widths.max_exponent * widths.unit
            by_mantissa = by_mantissa + log2 * level * self.clipping
        return torch.stack((by_exponent, by_mantissa)).float()


def quantize_continuous(
    x: Float[Tensor, "... width"],
    bits: Float[Tensor, "2"],
    widths: Widths | None = None,
    *,
    rule: ScaleRule = "floor",
    path: Path | None = None,
) -> Float[Tensor, "... width"]:
    """`x` rounded at fractional widths, in its own type; differentiable in `x` and `bits`.

    Args:
        x: float32, bfloat16 or float16; a block with NaN or an infinity becomes NaN.
        bits: E and M.
        widths: the same as plain numbers; spares a GPU the wait for them.
        rule: how the shared exponent is chosen; `midmax` at fractional M rounds up half a step
            above the largest value, as at whole ones: 2 − 2^(−M−1), or less where 448 caps it.
        path: which implementation; None leaves it to `kernels.paths`.

    Raises:
        KernelError: a width that 32 does not divide, another type, or widths out of range.
    """
    require_quantizable(x)
    if x.shape[-1] % BLOCK:
        raise KernelError(
            f"block {BLOCK} does not divide {x.shape[-1]}", remedy="pad to a multiple"
        )
    known = Widths(*bits.tolist()) if widths is None else widths
    choice = choose("continuous quantize", x.device, {"compiled": None}, path=path)
    found: Any = _Continuous.apply(x, bits, known, rule, choice.path)
    return found


def straight_through(
    x: Float[Tensor, "... width"], rounded: Float[Tensor, "... width"]
) -> Float[Tensor, "... width"]:
    """`rounded`, whose gradient goes to `x` unchanged: for formats that are not being learned."""
    found: Any = _Through.apply(x, rounded)
    return found


class _Through(torch.autograd.Function):
    """Replaces a tensor on the way forward only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Continuous(torch.autograd.Function):
    """One rounding: forward, and its straight-through gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bits: Tensor, widths: Widths, rule: ScaleRule, path: Path
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.given = widths, rule, path
        blocks = x.detach().float().reshape(-1, BLOCK)
        if path == "compiled":
            from kernels.continuous_compiled import round_compiled  # numba is slow to import

            rounded = round_compiled(blocks, widths, rule)
        else:
            scale, values, _ = _rounded(blocks, widths, rule)
            rounded = values.clamp_(-widths.largest, widths.largest).mul_(scale)
        return rounded.view(x.shape).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        widths, rule, path = ctx.given
        blocks, grad = (item.detach().float().reshape(-1, BLOCK) for item in (x, grads[0]))
        if path == "compiled":
            from kernels.continuous_compiled import slopes_compiled

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
