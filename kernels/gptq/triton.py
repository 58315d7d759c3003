"""The triton twin of `kernels.gptq.operation`: a block of columns in one launch.

Output channels are independent: a program takes `LANES` of them through all columns of the block.
What every column is to be moved by stands in registers, [columns, lanes], each lane's columns in
one thread; a column's errors are added to the later ones as soon as they are known (the reference
lets each column ask for those before it, the same sum in another order). A column's weights and
scales are loaded one step ahead, so that the steps do not wait for memory.

Against the reference only the order of the float32 sums differs.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import constants, nearest_value
from kernels.elements.values import Element
from kernels.launch import launch
from kernels.tiles import power_of_two

LANES = 32
"""Output channels of a program, one for each thread of its only warp."""


def round_block(
    columns: Tensor,
    propagated: Tensor,
    factor: Tensor,
    scale: Tensor,
    zero: Tensor | None,
    group_of: Tensor,
    element: Element,
) -> tuple[Tensor, Tensor]:
    """As `kernels.gptq.operation.round_block`, checked; `propagated` is left alone."""
    block, out = columns.shape
    values, errors = columns.new_empty(2, block, out).unbind()
    if block == 0:
        return values, errors
    launch(
        _round_block, (triton.cdiv(out, LANES),), columns,
        columns.contiguous(), propagated.contiguous(), factor.contiguous(), scale.contiguous(),
        scale if zero is None else zero.contiguous(), group_of, values, errors,
        block, out, **constants(element), OFFSET=zero is not None,
        COLUMNS=power_of_two(block), LANES=LANES, num_warps=1, enable_fp_fusion=True,
    )  # fmt: skip
    return values, errors


@triton.jit
def _round_block(
    columns_ptr,
    propagated_ptr,
    factor_ptr,
    scale_ptr,
    zero_ptr,
    group_ptr,
    values_ptr,
    errors_ptr,
    block,
    out,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
    OFFSET: tl.constexpr,
    COLUMNS: tl.constexpr,
    LANES: tl.constexpr,
):
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    inside = lane < out
    column = tl.arange(0, COLUMNS)
    at = column[:, None].to(tl.int64) * out + lane[None, :]
    mask = (column < block)[:, None] & inside[None, :]
    target = tl.load(columns_ptr + at, mask=mask, other=0.0)
    target += tl.load(propagated_ptr + at, mask=mask, other=0.0)
    group = tl.load(group_ptr)
    weight = tl.load(columns_ptr + lane, mask=inside, other=0.0)
    scale = tl.load(scale_ptr + group * out + lane, mask=inside, other=1.0)
    zero = tl.zeros((LANES,), tl.float32)
    if OFFSET:
        zero = tl.load(zero_ptr + group * out + lane, mask=inside, other=0.0)
    for i in range(block):
        ahead = tl.minimum(i + 1, block - 1)
        next_group = tl.load(group_ptr + ahead)
        next_weight = tl.load(columns_ptr + ahead * out + lane, mask=inside, other=0.0)
        next_scale = tl.load(scale_ptr + next_group * out + lane, mask=inside, other=1.0)
        factors = tl.load(factor_ptr + i * block + column, mask=column < block, other=0.0)
        factors = tl.where(column > i, factors, 0.0)
        own = tl.sum(tl.where((column == i)[:, None], target, 0.0), 0)
        value = nearest_value(tl.div_rn(own, scale), zero, FLOAT, LOW, HIGH, UNIT, SMALLEST, SHIFT)
        error = tl.fma(-value, scale, weight)
        target += factors[:, None] * error[None, :]
        tl.store(values_ptr + i * out + lane, value, mask=inside)
        tl.store(errors_ptr + i * out + lane, error, mask=inside)
        weight, scale = next_weight, next_scale
        if OFFSET:
            zero = tl.load(zero_ptr + next_group * out + lane, mask=inside, other=0.0)
