"""The triton twin of the fused rotation: features stay in registers between the two parts.

A tile of blocks is loaded, zeros and signs included, multiplied by the block matrix and rounded to
the type of the output, as `kernels.hadamard.triton` does it; then quantized as
`kernels.integer.triton` or `kernels.microscaling.triton` do it. Where features share scales in
groups, a tile is any run of blocks, seen once as [blocks, b] and once as [groups, group]. Where a
whole token shares one, a tile is some whole tokens, each padded to a power of two of blocks: zeros
change neither a largest magnitude nor a range that holds 0.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import exact_dot, rounded_to, to_float32
from kernels.hadamard.plan import LEAST, stages
from kernels.hadamard.triton import (
    block_layout,
    load_blocks,
    load_matrix,
    locate,
    programs,
    tile_warps,
    token_rows,
)
from kernels.integer.triton import quantize_rows
from kernels.launch import launch
from kernels.microscaling.triton import constants as microscaling_constants
from kernels.microscaling.triton import quantize_blocks
from kernels.rotate_quantize.values import Integer, Quantizer, padded_blocks, tile_rows
from kernels.tiles import power_of_two, warps


def rotate_and_quantize(
    x: Tensor, matrix: Tensor, quantizer: Quantizer, order: int, signs: Tensor | None
) -> Tensor:
    """As `kernels.rotate_quantize.operation.rotate_and_quantize`, its arguments checked."""
    rows, block = token_rows(x), matrix.shape[0]
    blocks = order // block
    y = x.new_empty(*x.shape[:-1], order)
    if y.numel() == 0:
        return y
    padded, layout = power_of_two(max(LEAST, block)), block_layout(rows, order, block)
    if quantizer.group is None:
        held = padded_blocks(blocks)  # one token's
        group = held * padded
    else:
        held, group = blocks, quantizer.group
    tile = tile_rows(block, order, quantizer.group)
    tiles = triton.cdiv(len(rows) * held, tile)
    launch(
        _rotate_and_quantize, (min(tiles, programs(x.device)),), x,
        rows, matrix.to(x.device, x.dtype).contiguous(),
        x if signs is None else signs.to(x.device, torch.int8), y,
        tiles, len(rows), held, blocks, **layout, **_constants(quantizer), SIGNED=signs is not None,
        GROUP=group, TILE=tile, STAGES=stages(block), enable_fp_fusion=False,
        num_warps=max(tile_warps(block), warps(tile * padded)),
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
    constants = microscaling_constants(quantizer.element, quantizer.rule)
    return {"INTEGER": False, "SYMMETRIC": False, **constants}


@triton.jit
def _rotate_and_quantize(
    x_ptr,
    matrix_ptr,
    signs_ptr,
    y_ptr,
    tiles,
    tokens,
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
    STAGES: tl.constexpr,
):
    """Every token has `held` rows of the product, the first `blocks` for blocks that there are."""
    matrix = load_matrix(matrix_ptr, BLOCK, PADDED)
    column = tl.arange(0, PADDED)
    groups: tl.constexpr = TILE * PADDED // GROUP
    for tile in tl.range(  # pyright: ignore[reportGeneralTypeIssues]
        tl.program_id(0), tiles, tl.num_programs(0), num_stages=STAGES
    ):
        token, block = locate(tile, held, TILE)
        inside = (token < tokens) & (block < blocks)
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
        at = (token * blocks + block) * BLOCK
        tl.store(y_ptr + at[:, None] + column[None, :], y, mask=mask)
