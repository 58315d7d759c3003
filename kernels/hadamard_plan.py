"""Which Hadamard transforms the triton twins take, and how they cut them up: a table by shape.

A tensor-core product has sides of 16 or more, and what a program works on must fit the registers
and the shared memory of one multiprocessor. Everything else is torch's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernels.tiles import power_of_two

LEAST = 16
"""The smallest side of a product."""

WIDEST = {torch.bfloat16: 256, torch.float16: 256, torch.float32: 128}
"""The largest dense factor, padded: its matrix lies in shared memory."""

LONGEST = {torch.bfloat16: 1 << 15, torch.float16: 1 << 15, torch.float32: 1 << 14}
"""Padded features of a full transform that one program holds."""

FACTOR_BITS = {torch.bfloat16: 7, torch.float16: 7, torch.float32: 5}
"""Largest power-of-two factor: tensor cores have products to spare, ordinary cores have not."""


def against_blocks(x: Tensor, block: int) -> str | None:
    """What keeps the twin from transforming blocks of `block`; None where nothing does."""
    widest = WIDEST.get(x.dtype)
    if widest is None:
        return f"{_name(x)} has no twin"
    return f"{_name(x)} blocks of {block} exceed {widest}" if block > widest else None


def against_full(x: Tensor, core: int, order: int) -> str | None:
    """What keeps the twin from a full transform; None where nothing does."""
    longest = LONGEST.get(x.dtype)
    if longest is None:
        return f"{_name(x)} has no twin"
    if core > WIDEST[x.dtype]:
        return f"a {_name(x)} core of {core} exceeds {WIDEST[x.dtype]}"
    sizes = factors(core, order // core, x.dtype)
    if sizes is None:
        return f"{order} is {core}·{order // core}, with no power of two from {LEAST} on"
    padded = math.prod(sizes)
    return f"{padded} padded {_name(x)} features exceed {longest}" if padded > longest else None


def factors(core: int, length: int, dtype: torch.dtype) -> tuple[int, int, int] | None:
    """Sizes (first, second, third) of the factors of a transform of core·length features.

    The first is the core, padded to a power of two, or a part of the length where the core is
    [[1]]; second and third are parts of the length. A factor that is not needed has size 1. None:
    the length is too short to make one.
    """
    bits, most = length.bit_length() - 1, FACTOR_BITS[dtype]
    if bits < 4:
        return None
    parts = 1 if bits < 8 else max(2, -(-bits // most))  # halves of less than 8 bits are too small
    if core > 1:
        parts = min(parts, 2)
        first = max(LEAST, power_of_two(core))
        return (first, 1, length) if parts == 1 else (first, *_even(bits, 2))
    if parts == 1:
        return (1, 1, length)
    if parts == 2 or bits < 12:
        low, high = _even(bits, 2)
        return (low, 1, high)
    low, middle, high = _even(bits, 3)
    return (low, middle, high)


def tile_blocks(block: int) -> int:
    """Blocks to a tile: 4096 features, at least 32 blocks."""
    return max(32, 4096 // max(LEAST, power_of_two(block)))


def _even(bits: int, parts: int) -> list[int]:
    """Powers of two with `bits` bits between them, as even as they can be, rising."""
    return [1 << (bits + i) // parts for i in range(parts)]


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
