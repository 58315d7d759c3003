"""How much of a tensor one GPU program takes: a fixed table by shape.

Tuning at run time picks by stopwatch: the same call may run other code the next day, and the first
call waits. Memory-bound kernels have few sensible shapes, so a table decides: programs of about
`ELEMENTS` elements, more only where one row needs them, and up to 32 elements for each thread.
"""

from __future__ import annotations

from dataclasses import dataclass

ELEMENTS = 4096


@dataclass(frozen=True, slots=True)
class Tile:
    """The share of one program: `rows` rows, each padded to `width`, with `warps` warps."""

    rows: int
    width: int
    warps: int


def power_of_two(n: int) -> int:
    """The smallest power of two that is not less than n ≥ 1."""
    return 1 << (n - 1).bit_length()


def tile(width: int) -> Tile:
    """Rows of `width` elements that are worked on at once."""
    padded = power_of_two(width)
    rows = max(1, ELEMENTS // padded)
    return Tile(rows, padded, warps(rows * padded))


def warps(elements: int) -> int:
    """Four warps up to 4096 elements, then one for each 1024, at most 16."""
    return min(16, max(4, power_of_two(elements) // 1024))
