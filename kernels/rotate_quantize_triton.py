"""The triton twin of `kernels.rotate_quantize`: features stay in registers between the two parts.

A tile of blocks is loaded, zeros and signs included, multiplied by the block matrix and rounded to
the type of the output, as `kernels.hadamard_triton` does it; then quantized as
`kernels.integer_triton` or `kernels.microscaling_triton` do it. Where features share scales in
groups, a tile is any run of blocks, seen once as [blocks, b] and once as [groups, group]. Where a
whole token shares one, a tile is some whole tokens, each padded to a power of two of blocks: zeros
change neither a largest magnitude nor a range that holds 0.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import microscaling_triton
from kernels.elements_triton import rounded_to, to_float32
from kernels.hadamard_plan import tile_blocks
from kernels.hadamard_triton import (
    block_layout,
    exact_dot,
    load_blocks,
    load_matrix,
    programs,
    tile_warps,
    token_rows,
)
from kernels.integer_triton import quantize_rows
from kernels.microscaling_triton import quantize_blocks
from kernels.rotate_quantize import Integer, Quantizer, padded_blocks
from kernels.tiles import ELEMENTS, warps


def rotate_and_quantize(
    x: Tensor, matrix: Tensor, quantizer: Quantizer, order: int, signs: Tensor | None
) -> Tensor:
    """As `kernels.rotate_quantize.rotate_and_quantize`, its arguments checked."""
    rows, block = token_rows(x), matrix.shape[0]
    blocks = order // block
    y = x.new_empty(*x.shape[:-1], order)
    if y.numel() == 0:
        return y
    layout = block_layout(rows, order, block)
    if quantizer.group is None:
        held = padded_blocks(blocks)  # one token's
        tile = max(held, ELEMENTS // layout["PADDED"])
        group, tasks = held * layout["PADDED"], len(rows) * held
    else:
        held, tile, group = blocks, tile_blocks(block), quantizer.group
        tasks = len(rows) * blocks
    _rotate_and_quantize[(min(triton.cdiv(tasks, tile), programs(x.device)),)](
        rows, matrix.to(x.device, x.dtype).contiguous(),
        x if signs is None else signs.to(x.device, torch.int8), y,
        tasks, held, blocks, **layout, **_constants(quantizer), SIGNED=signs is not None,
        GROUP=group, TILE=tile, num_warps=max(tile_warps(block), warps(tile * layout["PADDED"])),
        enable_fp_fusion=False,
    )  # fmt: skip
    return y


def _constants(quantizer: Quantizer) -> dict[str, float | int | bool]:
    """Compile-time arguments of both kinds of rounding; those of the other kind are not read."""
    if isinstance(quantizer, Integer):
        unread = dict.fromkeys(("MAX_EXPONENT", "CARRY", "SMALLEST", "SHIFT"), 0)
        element = quantizer.element
        return {
            **unread, "INTEGER": True, "SYMMETRIC": quantizer.symmetric, "FLOAT": False,
            "LOW": float(element.low), "HIGH": float(element.high), "UNIT": 1.0,
        }  # fmt: skip
    constants = microscaling_triton.constants(quantizer.element, quantizer.rule)
    return {"INTEGER": False, "SYMMETRIC": False, **constants}


@triton.jit
def _rotate_and_quantize(
    x_ptr,
    matrix_ptr,
    signs_ptr,
    y_ptr,
    tasks,
    held,
    blocks,
    stride,
    fuller,
    least,
    FILLED: tl.constexpr,
    BLOCK: tl.constexpr,
    PADDED: tl.constexpr,
    SCALE: tl.constexpr,
    INTEGER: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    MAX_EXPONENT: tl.constexpr,
    CARRY: tl.constexpr,
    FLOAT: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    UNIT: tl.constexpr,
    SMALLEST: tl.constexpr,
    SHIFT: tl.constexpr,
    SIGNED: tl.constexpr,
    GROUP: tl.constexpr,
    TILE: tl.constexpr,
):
    """`held` tasks belong to a token, the first `blocks` of them to blocks that there are."""
    matrix = load_matrix(matrix_ptr, BLOCK, PADDED)
    column = tl.arange(0, PADDED)
    groups: tl.constexpr = TILE * PADDED // GROUP
    for tile in tl.range(tl.program_id(0), tl.cdiv(tasks, TILE), tl.num_programs(0), num_stages=1):
        task = tile * tl.full((TILE,), TILE, tl.int64) + tl.arange(0, TILE)
        token, block = task // held, (task % held).to(tl.int32)
        inside = (task < tasks) & (block < blocks)
        x = load_blocks(
            x_ptr, signs_ptr, token, block, inside, stride, fuller, least,
            FILLED, SIGNED, BLOCK, PADDED,
        )  # fmt: skip
        y = rounded_to(exact_dot(x, matrix) * SCALE, y_ptr.dtype.element_ty)
        y = tl.reshape(to_float32(y), (groups, GROUP))
        if INTEGER:
            y = quantize_rows(y, SYMMETRIC, LOW, HIGH)
        else:
            y, _, scale = quantize_blocks(
                y, MAX_EXPONENT, CARRY, FLOAT, LOW, HIGH, UNIT, SMALLEST, SHIFT
            )
            y = y * scale[:, None]
        y = tl.reshape(rounded_to(y, y_ptr.dtype.element_ty), (TILE, PADDED))
        mask = inside[:, None] & (column < BLOCK)[None, :]
        row = token * blocks + block
        tl.store(y_ptr + row[:, None] * BLOCK + column[None, :], y, mask=mask)
