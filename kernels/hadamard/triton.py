"""The triton twins of `kernels.hadamard.operation`: every feature read once and written once.

Both transforms are matrix products with small ±1 factors, on the tensor cores. The first product of
16-bit features is exact but for its float32 sums, as ±1 is exact in every type. What a later factor
multiplies is a float32 sum already: in 16-bit calls it is split into two bfloat16 parts, 16 bits
of it, half of an output's last place by a factor 2⁸ (bfloat16) or 2⁵ (float16) below what rounding
the output costs. Float32 calls multiply in float32, on the ordinary cores.

*Blocks.* A program holds the matrix B and walks over tiles of blocks, [rows, b]. Zeros that expand
an input are made in the load (`kernels.hadamard.sylvester.block_fill`), never stored.

*Full.* A program holds whole vectors, [rows, K, S₂, S₃], and multiplies the last axis, turns it to
the front, and so on: the factors meet every feature once. K is padded to a power of two, which
costs registers but no traffic.

What fits, and in which factors, is a table: `kernels.hadamard.plan`.
"""

from __future__ import annotations

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.elements.triton import INTERPRETED, exact_dot, rounded_to, to_float32
from kernels.hadamard.plan import LEAST, factors, stages, tile_blocks
from kernels.hadamard.sylvester import block_fill, sylvester
from kernels.launch import launch
from kernels.tiles import power_of_two, warps

UNSIGNED = tl.constexpr(False)

PROGRAMS = 8
"""Programs for each multiprocessor in a block transform: they share its matrix's loads."""


def block_hadamard(x: Tensor, matrix: Tensor, order: int) -> Tensor:
    """As `kernels.hadamard.operation.block_hadamard_transform`, its arguments checked."""
    rows, block = token_rows(x), matrix.shape[0]
    y = x.new_empty(*x.shape[:-1], order)
    tile, blocks = tile_blocks(block), order // block
    tiles = triton.cdiv(len(rows) * blocks, tile)
    launch(
        _blocks, (min(tiles, programs(x.device)),), x,
        rows, matrix.to(x.device, x.dtype).contiguous(), y, tiles, len(rows), blocks,
        **block_layout(rows, order, block), TILE=tile, STAGES=stages(block),
        num_warps=tile_warps(block), enable_fp_fusion=True,
    )  # fmt: skip
    return y


def hadamard(x: Tensor, core: Tensor, order: int) -> Tensor:
    """As `kernels.hadamard.operation.hadamard_transform`, its arguments checked."""
    rows, v = token_rows(x), core.shape[0]
    y = x.new_empty(*x.shape[:-1], order)
    sizes = factors(v, order // v, x.dtype)
    if y.numel() == 0 or sizes is None:
        return y
    first, second, third = sizes
    at_once = max(1, 4096 // math.prod(sizes))
    launch(
        _full, (triton.cdiv(len(rows), at_once),), x,
        rows, _first(core, first, x), _sylvester(second, x.device, x.dtype),
        _sylvester(third, x.device, x.dtype), y, len(rows), rows.stride(0), rows.shape[1],
        ORDER=order, CORE=order // (second * third), SCALE=1 / math.sqrt(order),
        FIRST=first, SECOND=second, THIRD=third, ROWS=at_once,
        num_warps=warps(at_once * math.prod(sizes)), enable_fp_fusion=True,
    )  # fmt: skip
    return y


def tile_warps(block: int) -> int:
    """Four, or eight from 128 features to a block on."""
    return 8 if block >= 128 else 4


@functools.cache
def programs(device: torch.device) -> int:
    """How many programs walk over the tiles."""
    if device.type != "cuda":
        return 2  # in the interpreter: more than one, so that walking is tested
    return PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


def block_layout(rows: Tensor, order: int, block: int) -> dict[str, int | float | bool]:
    """Arguments of every kernel that calls `load_blocks` on [tokens, n] `rows`."""
    fuller, least = block_fill(rows.shape[1], order, block)
    return {
        "stride": rows.stride(0),
        "fuller": fuller,
        "least": least,
        "FILLED": least == block,
        "BLOCK": block,
        "PADDED": max(LEAST, power_of_two(block)),
        "SCALE": 1 / math.sqrt(block),
    }


def token_rows(x: Tensor) -> Tensor:
    """`x` as [tokens, n], features side by side; copied only where its strides want it."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return rows if rows.stride(1) == 1 else rows.contiguous()


def _first(core: Tensor, size: int, x: Tensor) -> Tensor:
    return _sylvester(size, x.device, x.dtype) if len(core) == 1 else core.to(x).contiguous()


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _sylvester(order: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return sylvester(order).to(device, dtype)


@triton.jit
def sum_dot(y, matrix):
    """The product of float32 `y` and a ±1 matrix: in two bfloat16 parts where that is 16-bit."""
    if INTERPRETED or matrix.dtype == tl.float32:
        z = tl.dot(y, to_float32(matrix), input_precision="ieee")
    else:
        signs = matrix.to(tl.bfloat16)
        high = y.to(tl.bfloat16)
        low = (y - high.to(tl.float32)).to(tl.bfloat16)
        z = tl.dot(low, signs)
        z = tl.dot(high, signs, z)
    return z


@triton.jit
def load_matrix(matrix_ptr, SIZE: tl.constexpr, PADDED: tl.constexpr):
    """A [SIZE, SIZE] matrix in [PADDED, PADDED], zeros around it."""
    i = tl.arange(0, PADDED)
    inside = (i < SIZE)[:, None] & (i < SIZE)[None, :]
    return tl.load(matrix_ptr + i[:, None] * SIZE + i[None, :], mask=inside, other=0.0)


@triton.jit
def locate(tile, held, TILE: tl.constexpr):
    """Token and block, both [TILE], of a tile's rows, where every token has `held` of them.

    One 64-bit division for the tile; its rows take 32-bit ones, which are several times cheaper.
    """
    first = tile * tl.full((), TILE, tl.int64)
    row = (first % held).to(tl.int32) + tl.arange(0, TILE)
    return first // held + row // held, row % held


@triton.jit
def load_blocks(
    x_ptr,
    signs_ptr,
    token,
    block,
    inside,
    stride,
    fuller,
    least,
    FILLED: tl.constexpr,
    SIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    PADDED: tl.constexpr,
):
    """Block number `block` of token `token`, both [rows], as [rows, PADDED] with zeros for padding.

    `inside` masks rows; `stride` lies between tokens; `fuller` and `least` as `block_fill` says.
    SIGNED: features are multiplied by ±1 first.
    """
    column = tl.arange(0, PADDED)
    if FILLED:
        at = block * BLOCK
        mask = inside[:, None] & (column < BLOCK)[None, :]
    else:
        at = block * least + tl.minimum(block, fuller)
        mask = inside[:, None] & (column[None, :] < (least + (block < fuller))[:, None])
    feature = at[:, None] + column[None, :]
    x = tl.load(x_ptr + token[:, None] * stride + feature, mask=mask, other=0.0)
    if SIGNED:
        signs = tl.load(signs_ptr + feature, mask=mask, other=0)
        x = rounded_to(to_float32(x) * signs.to(tl.float32), x.dtype)
    return x


@triton.jit
def _blocks(
    x_ptr,
    matrix_ptr,
    y_ptr,
    tiles,
    tokens,
    blocks,
    stride,
    fuller,
    least,
    FILLED: tl.constexpr,
    BLOCK: tl.constexpr,
    PADDED: tl.constexpr,
    SCALE: tl.constexpr,
    TILE: tl.constexpr,
    STAGES: tl.constexpr,
):
    matrix = load_matrix(matrix_ptr, BLOCK, PADDED)
    column = tl.arange(0, PADDED)
    for tile in tl.range(  # pyright: ignore[reportGeneralTypeIssues]
        tl.program_id(0), tiles, tl.num_programs(0), num_stages=STAGES
    ):
        token, block = locate(tile, blocks, TILE)
        inside = token < tokens
        x = load_blocks(
            x_ptr, x_ptr, token, block, inside, stride, fuller, least,
            FILLED, UNSIGNED, BLOCK, PADDED,
        )  # fmt: skip
        y = rounded_to(exact_dot(x, matrix) * SCALE, y_ptr.dtype.element_ty)
        mask = inside[:, None] & (column < BLOCK)[None, :]
        at = (token * blocks + block) * BLOCK
        tl.store(y_ptr + at[:, None] + column[None, :], y, mask=mask)


@triton.jit
def _full(
    x_ptr,
    first_ptr,
    second_ptr,
    third_ptr,
    y_ptr,
    rows,
    stride,
    n,
    ORDER: tl.constexpr,
    CORE: tl.constexpr,
    SCALE: tl.constexpr,
    FIRST: tl.constexpr,
    SECOND: tl.constexpr,
    THIRD: tl.constexpr,
    ROWS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, FIRST * SECOND * THIRD)
    mask = (row < rows)[:, None] & (feature < n)[None, :]
    x = tl.load(x_ptr + row[:, None] * stride + feature[None, :], mask=mask, other=0.0)
    x = tl.reshape(x, (ROWS * FIRST * SECOND, THIRD))
    y = exact_dot(x, load_matrix(third_ptr, THIRD, THIRD))
    if SECOND > 1:
        y = tl.trans(tl.reshape(y, (ROWS * FIRST, SECOND, THIRD)), 0, 2, 1)
        y = tl.reshape(y, (ROWS * FIRST * THIRD, SECOND))
        y = sum_dot(y, load_matrix(second_ptr, SECOND, SECOND))
        y = tl.trans(tl.reshape(y, (ROWS * FIRST, THIRD, SECOND)), 0, 2, 1)
    if FIRST > 1:
        y = tl.trans(tl.reshape(y, (ROWS, FIRST, SECOND * THIRD)), 0, 2, 1)
        y = tl.reshape(y, (ROWS * SECOND * THIRD, FIRST))
        y = sum_dot(y, load_matrix(first_ptr, CORE, FIRST))
        y = tl.trans(tl.reshape(y, (ROWS, SECOND * THIRD, FIRST)), 0, 2, 1)
    y = tl.reshape(y, (ROWS, FIRST * SECOND * THIRD))
    mask = (row < rows)[:, None] & (feature < ORDER)[None, :]
    y = rounded_to(y * SCALE, y_ptr.dtype.element_ty)
    tl.store(y_ptr + row[:, None] * ORDER + feature[None, :], y, mask=mask)
