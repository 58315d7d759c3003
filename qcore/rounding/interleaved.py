"""Where scales are found relative to error correction (arXiv 2606.10890, §4).

- **decoupled** ("+"): all scales of the network in an earlier pass; then `gptq` or `qronos` with
  scales given.
- **layer-interleaved** ("⊙"): a layer's scales just before its own error correction, from the
  moments that the quantized layers before it produce. As decoupled, a scale rule and then `gptq`
  or `qronos`: the order of the passes is the quantize stage's.
- **group-interleaved** ("⊙"), `group_interleaved`: a group's scale when error correction reaches
  its first column, on the weights as the errors made so far have moved them. Groups are visited by
  falling Σ diag H; act-order holds inside a group, not across groups, since a group must be
  finished before the next one's scale is known.

Methods know no other methods: what finds the scales is an argument. On the moved weights w′ of a
group the output error that the group itself can make is ‖X̃_g(w′_g − s·q)‖², so the rule is called
with w′_g and H_gg, PiSO's objective `self`, for Qronos as well: its corrected start has already
taken the cross moment in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from kernels.elements.values import encode
from kernels.gptq.operation import round_block
from qcore.formats.coding import element_of
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.numerics.moments import require_moments
from qcore.rounding.damping import DAMPING
from qcore.rounding.feedback import (
    BLOCK,
    column_order,
    feedback_factor,
    pending_columns,
    propagated_error,
)
from qcore.rounding.qronos import qronos_factor, qronos_shift

Corrector = Literal["gptq", "qronos"]

ScaleRule = Callable[[Tensor, Tensor], Scales]
"""rule(weight [out, in], hessian [in, in]) → Scales of that weight."""


def group_interleaved(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    cross: Float[Tensor, "in in"] | None,
    fmt: Format,
    rule: ScaleRule,
    *,
    method: Corrector = "gptq",
    act_order: bool = True,
    damping: float | None = None,
) -> Quantized:
    """Each group's scale from its moved weights when error correction reaches it.

    Args:
        weight: any float type.
        hessian: X̃ᵀX̃.
        cross: X̃ᵀX for Qronos; None, or unused, for GPTQ.
        fmt: any Format; without groups this is layer-interleaving on the (corrected) weights.
        rule: finds one group's scale from its moved weights [out, group] and its block of H.
        method: what corrects errors.
        act_order: inside groups, and groups by falling Σ diag H; otherwise as the columns lie.
        damping: as `method` understands it; None is its own default.

    Raises:
        QuantscopeError: as the rule and the method do.
    """
    require_moments(weight, hessian, cross, definite=method == "gptq")
    count = fmt.groups(weight.shape[1])
    order = group_order(hessian, count, act_order=act_order)
    added = DAMPING[method] if damping is None else damping
    if method == "gptq":
        factor, shift = feedback_factor(hessian, order, damping=added), None
    else:
        factor = qronos_factor(hessian, order, damping=added)
        shift = qronos_shift(weight, hessian, cross, factor, order)
    upper = factor.upper.float()
    codes, scales = _round_groups(weight.float(), hessian, upper, shift, order, count, fmt, rule)
    return Quantized(codes, scales, fmt, factor.damping, factor.asked)


def group_order(
    hessian: Float[Tensor, "in in"], groups: int, *, act_order: bool = True
) -> Int64[Tensor, " in"]:
    """Columns with groups by falling Σ diag H and, inside each, by falling diagonal."""
    diagonal = hessian.diagonal()
    if not act_order:
        return column_order(hessian, act_order=False)
    blocks = diagonal.unflatten(0, (groups, -1))
    first = torch.argsort(blocks.sum(1), descending=True, stable=True)
    inside = torch.argsort(blocks, dim=1, descending=True, stable=True)
    return (inside + torch.arange(groups, device=inside.device)[:, None] * blocks.shape[1])[
        first
    ].flatten()


def _round_groups(
    weight: Tensor,
    hessian: Tensor,
    upper: Tensor,
    shift: Tensor | None,
    order: Tensor,
    count: int,
    fmt: Format,
    rule: ScaleRule,
) -> tuple[Tensor, Scales]:
    """Codes and scales, both as the columns lie; `order` holds whole groups one after another."""
    width = weight.shape[1]
    size = width // count
    columns = weight.T[order].contiguous()  # (in, out), visiting order
    errors = torch.empty_like(columns)
    element = element_of(fmt)
    scale = torch.empty(weight.shape[0], count, device=weight.device)
    zero = None if fmt.symmetric or fmt.kind == "mx" else torch.empty_like(scale)
    codes: Tensor | None = None
    for at in range(0, width, size):
        group = slice(at, at + size)
        lying = order[group]
        pending = pending_columns(columns, upper, errors, group, shift).T
        found = rule(pending, hessian[lying][:, lying])
        g = int(lying[0]) // size
        scale[:, g] = found.scale[:, 0]
        if zero is not None and found.zero is not None:
            zero[:, g] = found.zero[:, 0]
        values = _round_group(columns, upper, errors, shift, group, found, fmt)
        part = encode(values, element, None if found.zero is None else found.zero.T)
        codes = torch.empty(width, len(weight), dtype=part.dtype) if codes is None else codes
        codes[lying] = part
    assert codes is not None
    return codes.T.contiguous(), Scales(scale, zero)


def _round_group(
    columns: Tensor,
    upper: Tensor,
    errors: Tensor,
    shift: Tensor | None,
    group: slice,
    scales: Scales,
    fmt: Format,
) -> Tensor:
    """Element values of one group; fills its errors. Blocks keep the sequential part short."""
    values = torch.empty_like(columns[group])
    scale = scales.scale.T.contiguous()
    zero = None if scales.zero is None else scales.zero.T.contiguous()
    for at in range(group.start, group.stop, BLOCK):
        block = slice(at, min(at + BLOCK, group.stop))
        inside = slice(block.start - group.start, block.stop - group.start)
        same = torch.zeros(block.stop - block.start, dtype=torch.long, device=columns.device)
        values[inside], errors[block] = round_block(
            columns[block],
            propagated_error(upper, errors, block, shift),
            upper[block, block],
            scale,
            zero,
            same,
            element_of(fmt),
        )
    return values
