"""GPTQ inside one block: round the columns in order, propagate each error to those behind it.

The operation. Columns i = 0 … c−1 of a block arrive as rows of `columns` (transposed, so that the
output channels lie side by side in memory). `propagated` holds the error that earlier blocks
propagate to every column, the sum by which it is to be moved. For each column in turn

    target_i = columns_i + propagated_i + Σ_{k<i} factor_ki · error_k
    value_i  = nearest(target_i / scale_i)
    error_i  = columns_i − scale_i · value_i

with `factor` strictly upper triangular as far as it is read. Output channels do not touch each
other.

The reference does it twice blocked: a matrix product brings the errors of earlier sub-blocks, so
that the column-by-column part never reaches further than `INNER` columns. A compiled twin
(`kernels.gptq.compiled`) takes its place on the CPU, a triton twin (`kernels.gptq.triton`) on a
GPU; `kernels.dispatch` says which one runs.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from kernels.checks import require_together
from kernels.dispatch import Implementation, Twin, choose
from kernels.elements.values import Element, nearest

INNER = 16
"""Columns between two matrix products: fewer means more products, more means longer updates."""

TRITON_COLUMNS = 128
"""Columns of a block that fit into the registers of the triton twin."""


def round_block(
    columns: Float[Tensor, "block out"],
    propagated: Float[Tensor, "block out"],
    factor: Float[Tensor, "block block"],
    scale: Float[Tensor, "groups out"],
    zero: Float[Tensor, "groups out"] | None,
    group_of: Int64[Tensor, " block"],
    element: Element,
    *,
    implementation: Implementation | None = None,
) -> tuple[Float[Tensor, "block out"], Float[Tensor, "block out"]]:
    """Element values of a block of columns and the errors they make; all float32.

    Args:
        columns: the weights as they were before any rounding.
        propagated: error propagated from earlier blocks; used as scratch.
        factor: see the module's formula; the diagonal and below are not read.
        scale: of every group of every output channel.
        zero: whole zero points, or None.
        group_of: each column's group.
        element: what the codes can represent.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Returns:
        Element values, and errors weight − dequantized.

    Raises:
        KernelError: tensors on different devices.
    """
    require_together(columns=columns, propagated=propagated, factor=factor, scale=scale, zero=zero)
    against = None if len(columns) <= TRITON_COLUMNS else f"more than {TRITON_COLUMNS} columns"
    twins: dict[Twin, str | None] = {"compiled": None, "triton": against}
    choice = choose("gptq block", columns.device, twins, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.gptq.triton import (
            round_block as round_block_triton,  # triton is not on every machine
        )

        return round_block_triton(columns, propagated, factor, scale, zero, group_of, element)
    if choice.implementation == "compiled":
        from kernels.gptq.compiled import round_block_compiled  # numba is slow to import

        return round_block_compiled(columns, propagated, factor, scale, zero, group_of, element)
    values = torch.empty_like(columns)
    errors = torch.empty_like(columns)
    for start in range(0, len(columns), INNER):
        stop = min(start + INNER, len(columns))
        if start:
            propagated[start:stop].addmm_(factor[:start, start:stop].T, errors[:start])
        for i, group in zip(range(start, stop), group_of[start:stop].tolist(), strict=True):
            offset = None if zero is None else zero[group]
            target = propagated[i].add_(columns[i])
            values[i] = nearest(target.div_(scale[group]), element, offset)
            torch.addcmul(columns[i], values[i], scale[group], value=-1, out=errors[i])
            if i + 1 < stop:
                propagated[i + 1 : stop].addr_(factor[i, i + 1 : stop], errors[i])
    return values, errors
