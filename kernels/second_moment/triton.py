"""The triton twin of `kernels.second_moment.operation`: tiles of H on and above the diagonal.

A program owns one tile and walks over all tokens, so that sums have one order and no program waits
for another; tiles below the diagonal return at once. Small matrices are cut into smaller tiles, or
too few programs would have work.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import exact_dot
from kernels.launch import launch

TOKENS = 64
LARGE = 2048
"""Widths from here on fill a GPU with tiles of 128."""


def add_second_moment(total: Tensor, x: Tensor) -> None:
    """As `kernels.second_moment.operation.add_second_moment`, its arguments checked."""
    if x.numel() == 0:
        return
    x = x if x.stride(1) == 1 else x.contiguous()
    large = x.shape[1] >= LARGE
    tile = 128 if large else 64
    tiles = triton.cdiv(x.shape[1], tile)
    launch(
        _add_second_moment, (tiles, tiles), x,
        total, x, len(x), x.shape[1], total.stride(0), total.stride(1), x.stride(0),
        TILE=tile, TOKENS=TOKENS, num_warps=8 if large else 4, num_stages=3,
        enable_fp_fusion=True,
    )  # fmt: skip


@triton.jit
def _add_second_moment(
    total_ptr,
    x_ptr,
    tokens,
    width,
    total_rows,
    total_columns,
    x_rows,
    TILE: tl.constexpr,
    TOKENS: tl.constexpr,
):
    if tl.program_id(0) <= tl.program_id(1):
        i = tl.program_id(0) * TILE + tl.arange(0, TILE)
        j = tl.program_id(1) * TILE + tl.arange(0, TILE)
        sums = tl.zeros((TILE, TILE), tl.float32)
        for first in range(0, tokens, TOKENS):
            token = first + tl.arange(0, TOKENS)
            row = x_ptr + token.to(tl.int64)[:, None] * x_rows
            there = (token < tokens)[:, None]
            left = tl.load(row + i[None, :], mask=there & (i < width)[None, :], other=0.0)
            right = tl.load(row + j[None, :], mask=there & (j < width)[None, :], other=0.0)
            sums += exact_dot(tl.trans(left), right)
        at = total_ptr + i.to(tl.int64)[:, None] * total_rows + j[None, :] * total_columns
        mask = (i < width)[:, None] & (j < width)[None, :]
        tl.store(at, tl.load(at, mask=mask, other=0.0) + sums, mask=mask)
