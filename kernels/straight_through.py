"""The gradient of rounding, taken as 1 where nothing saturates and as 0 where something does.

Rounding is a staircase, whose own gradient teaches nothing. The straight-through estimator lets the
gradient of the rounded tensor pass to the tensor itself, inside the range of the codes; scales and
zero points count as constants. What saturates is recomputed in the backward pass, so that the
forward pass keeps nothing but its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def straight_through(
    x: Float[Tensor, "..."],
    quantize: Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]],
    inside: Callable[[Float[Tensor, "..."]], Bool[Tensor, "..."]],
) -> Float[Tensor, "..."]:
    """The tensor `quantize(x)`, with the gradient of `x` where `inside(x)` and 0 elsewhere.

    >>> x = torch.tensor([0.4, 2.0], requires_grad=True)
    >>> straight_through(x, lambda x: x.round().clamp(max=1), lambda x: x <= 1).sum().backward()
    >>> x.grad
    tensor([1., 0.])
    """
    return _StraightThrough.apply(x, quantize, inside)  # type: ignore[no-any-return]


def replace_forward(x: Float[Tensor, "..."], rounded: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return `rounded`; send its gradient to `x` unchanged, saturated or not.

    For a format that is not being learned, whose rounding is known already.
    """
    found: Any = _ReplaceForward.apply(x, rounded)
    return found


class _ReplaceForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, quantize: Callable, inside: Callable) -> Tensor:
        ctx.save_for_backward(x)
        ctx.inside = inside
        return quantize(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.inside(x), None, None
