"""A network whose linears round weights and inputs at fractional widths, for as long as it learns.

Weights stay what they are: a linear rounds its frozen weight anew at every forward, and gradients
reach only the widths. Whatever the network computes in front of a linear (norms, online rotations)
stays in front: the linear's own product is replaced, nothing else. Inputs are rounded by each
reader, because readers that are not fused may want different widths.

A decoder block can be made to forget what it computed and compute it again on the way back
(`recompute`): memory for one block instead of all, for a third more time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kernels.continuous.operation import quantize_continuous
from kernels.continuous.values import Widths
from kernels.microscaling.values import ScaleRule
from kernels.straight_through import replace_forward
from qcore.formats.coding import fake_quantize
from qcore.formats.format import Format
from qcore.models.families import blocks, linear_module, linears


class LearnedWidths:
    """The widths that all rounding looks at, set anew before every forward.

    Attributes:
        bits: E and M of each unit; what gradients reach.
        known: the same as plain numbers.
    """

    def __init__(self):
        self.bits: Float[Tensor, "units 2"] = torch.empty(0, 2)
        self.known: list[Widths] = []

    def set(self, bits: Float[Tensor, "units 2"]) -> None:
        """Let every forward from now on round at these widths."""
        self.bits = bits
        self.known = [Widths(*pair) for pair in bits.tolist()]

    def round(self, x: Tensor, unit: int, rule: ScaleRule) -> Tensor:
        """`x` at a unit's present widths."""
        return quantize_continuous(x, self.bits[unit], self.known[unit], rule=rule)


@contextmanager
def rounding(
    model: nn.Module,
    widths: LearnedWidths,
    units: Sequence[int | Format],
    *,
    rule: ScaleRule,
    inputs: Format | None,
    shared: bool,
    recompute: bool,
) -> Iterator[None]:
    """The model with every linear rounded inside the block, as before after it.

    Args:
        model: a causal language model of a supported family, no parameter of which is learned.
        widths: of the units.
        units: for each linear in execution order, the unit whose widths it takes, or the format
            that it keeps.
        rule: of the weights' shared exponents.
        inputs: of the inputs, where they are rounded; its own rule for shared exponents.
        shared: inputs take the width of their linear's weight instead.
        recompute: keep no activations inside decoder blocks.
    """
    changed: list[nn.Module] = []
    try:
        for linear, unit in zip(linears(model), units, strict=True):
            module = linear_module(model, linear)
            weight = _weight(module, widths, unit, rule)
            _replace(module, _product(module, weight, _input(widths, unit, inputs, shared)))
            changed.append(module)
        for block in blocks(model) if recompute else ():
            _replace(block, _forgetful(block.forward))
            changed.append(block)
        yield
    finally:
        for module in changed:
            del module.forward  # the class's own comes back


def _replace(module: nn.Module, forward: Callable[..., Any]) -> None:
    module.forward = forward


def _product(
    module: nn.Linear, weight: Callable[[], Tensor], change: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        return nn.functional.linear(change(x), weight(), module.bias)

    return forward


def _weight(
    module: nn.Linear, widths: LearnedWidths, unit: int | Format, rule: ScaleRule
) -> Callable[[], Tensor]:
    if isinstance(unit, Format):
        rounded = fake_quantize(module.weight.detach(), unit.with_scale_rounding(rule))
        return lambda: rounded
    return lambda: widths.round(module.weight, unit, rule)


def _input(
    widths: LearnedWidths, unit: int | Format, inputs: Format | None, shared: bool
) -> Callable[[Tensor], Tensor]:
    if inputs is None:
        return lambda x: x
    if not shared:
        fixed = inputs
    elif isinstance(unit, Format):
        fixed = unit.with_scale_rounding(inputs.scale_rounding)
    else:
        rule = inputs.scale_rounding
        return lambda x: widths.round(x, unit, rule)
    return lambda x: replace_forward(x, fake_quantize(x.detach(), fixed))


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    def recomputed(*args: Any, **more: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **more)

    return recomputed
