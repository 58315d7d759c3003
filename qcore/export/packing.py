"""Codes as dense little-endian bit streams and nibbles, as checkpoints store them.

A bit stream puts element i of a row at bits i·b to (i + 1)·b − 1 of the row, least significant bit
first, and cuts it into 32-bit words; the last word is filled with zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, UInt8
from torch import Tensor

ROWS_AT_ONCE = 512
"""Rows whose bits are laid out one to a byte at the same time."""


def words_of(columns: int, bits: int) -> int:
    """32-bit words that a row of `columns` elements takes."""
    return -(-columns * bits // 32)


def pack_bits(codes: Int[Tensor, "rows columns"], bits: int) -> Int32[Tensor, "rows words"]:
    """Unsigned codes below 2^bits as a dense stream of bits per row.

    Args:
        codes: any integer type, each from 0 to 2^bits − 1.
        bits: 1 to 8.
    """
    rows, columns = codes.shape
    words = words_of(columns, bits)
    out = np.zeros((rows, 4 * words), np.uint8)
    unsigned = codes.to(torch.uint8).numpy()
    for first in range(0, rows, ROWS_AT_ONCE):
        part = unsigned[first : first + ROWS_AT_ONCE]
        streams = np.unpackbits(part[..., None], axis=-1, count=bits, bitorder="little")
        packed = np.packbits(streams.reshape(len(part), -1), axis=-1, bitorder="little")
        out[first : first + ROWS_AT_ONCE, : packed.shape[1]] = packed
    return torch.from_numpy(out.view(np.int32))


def pack_nibbles(codes: Int[Tensor, "rows columns"]) -> UInt8[Tensor, "rows half"]:
    """4-bit codes, two to a byte: the even column in the low nibble."""
    low, high = codes.to(torch.uint8).unflatten(1, (-1, 2)).unbind(-1)
    return low | (high << 4)


def exponent_codes(scale: Float[Tensor, "rows groups"]) -> UInt8[Tensor, "rows groups"]:
    """E8M0 codes of powers of two: the exponent plus 127."""
    _, exponent = torch.frexp(scale)  # mantissa in [½, 1)
    return (exponent + 126).to(torch.uint8)
