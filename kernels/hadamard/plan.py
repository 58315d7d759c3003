"""Which Hadamard transforms the triton twins take, and how they cut them up: a table by shape.

A tensor-core product has sides of 16 or more. What a program works on must fit the registers and
the shared memory of one multiprocessor; the latter is estimated from the operands, and a device
that has less leaves the call to torch. Float32 is multiplied on the ordinary cores, where factors
above 64 run out of registers; a large float32 product is bound by arithmetic anyway, and cuBLAS
does it well.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from kernels.tiles import power_of_two

LEAST = 16
"""The smallest side of a product."""

WIDEST = {torch.bfloat16: 256, torch.float16: 256, torch.float32: 64}
"""The largest dense factor, padded."""

LONGEST = {torch.bfloat16: 1 << 15, torch.float16: 1 << 15, torch.float32: 1 << 14}
"""Padded features of a full transform that one program holds."""

SHARED_BYTES = 227 * 1024
"""Shared memory for one program where no device says otherwise: Hopper's."""


def against_blocks(x: Tensor, block: int, tile: int | None = None) -> str | None:
    """The reason why the twin cannot transform blocks of `block`, `tile` at a time, or None."""
    if x.dtype not in WIDEST:
        return f"{_name(x)} has no twin"
    if block > WIDEST[x.dtype]:
        return f"{_name(x)} blocks of {block} exceed {WIDEST[x.dtype]}"
    size = power_of_two(max(LEAST, block))
    tile = tile_blocks(block) if tile is None else tile
    room = size * (size + stages(block) * tile) * x.element_size()
    return _too_large(room, x.device)


def against_full(x: Tensor, core: int, order: int) -> str | None:
    """The reason why the twin cannot do a full transform; None where there is none."""
    if x.dtype not in LONGEST:
        return f"{_name(x)} has no twin"
    sizes = factors(core, order // core, x.dtype)
    if sizes is None:
        return f"{order} is {core}·{order // core}, with no power of two from {LEAST} on"
    if max(sizes) > WIDEST[x.dtype]:
        return f"a {_name(x)} factor of {max(sizes)} exceeds {WIDEST[x.dtype]}"
    padded = math.prod(sizes)
    if padded > LONGEST[x.dtype]:
        return f"{padded} padded {_name(x)} features exceed {LONGEST[x.dtype]}"
    # A factor, and the other operand: the features, later their sums in two halves.
    room = max(sizes) ** 2 * x.element_size() + max(padded, 4096) * 4
    return _too_large(room, x.device)


def factors(core: int, length: int, dtype: torch.dtype) -> tuple[int, int, int] | None:
    """Sizes (first, second, third) of the factors of a transform of core·length features.

    The first is the core, padded to a power of two, or a part of the length where the core is
    [[1]]; second and third are parts of the length. A factor that is not needed has size 1. Parts
    are as even as they can be, on tensor cores up to 128, on ordinary cores up to 32. None: the
    length is too short to make one.
    """
    bits = length.bit_length() - 1
    if bits < 4:
        return None
    most = 5 if dtype == torch.float32 else 7
    parts = 1 if bits < 8 else -(-bits // most)  # halves of less than 8 bits are too small
    if core > 1:
        first = max(LEAST, power_of_two(core))
        return (first, 1, length) if parts == 1 else (first, *_halves(bits))
    if parts == 1:
        return (1, 1, length)
    if parts > 2 and bits >= 12:
        return (1 << bits // 3, *_halves(bits - bits // 3))
    first, third = _halves(bits)
    return (first, 1, third)


def tile_blocks(block: int) -> int:
    """Blocks to a tile: 4096 features, at least 32 blocks."""
    return max(32, 4096 // max(LEAST, power_of_two(block)))


def stages(block: int) -> int:
    """Tiles that a program has in flight: where few programs fit side by side, each looks ahead."""
    return 2 if block >= 128 else 1


def _halves(bits: int) -> tuple[int, int]:
    """Two powers of two with `bits` bits between them, as even as they can be, rising."""
    return 1 << bits // 2, 1 << -(-bits // 2)


def _too_large(room: int, device: torch.device) -> str | None:
    limit = _shared_bytes(device)
    return f"{room} bytes of shared memory exceed {limit}" if room > limit else None


@functools.cache
def _shared_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return SHARED_BYTES
    return torch.cuda.get_device_properties(device).shared_memory_per_block_optin


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
