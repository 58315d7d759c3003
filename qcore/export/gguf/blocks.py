"""Which ggml type holds a Format's numbers to the bit, and how its blocks are laid out.

A block is 32 consecutive inputs of one output channel. With codes k, zero points z and a scale s,
w = (k − z)·s; every type below holds a whole number q and a 16-bit scale d, w = q·d, so a format
fits whenever its q = k − z do:

| ggml type | bytes | q | holds |
|---|---|---|---|
| Q4_0 | d, 16 bytes: element j low nibble, j + 16 high, q + 8 | −8 … 7 | INT2–4; INT2–3 with zero |
| Q5_0 | d, 32 fifth bits, 16 bytes, q + 16 | −16 … 15 | INT5; INT4 with zero |
| Q8_0 | d, 32 int8 | −127 … 127 | INT6–8; INT5–7 with zero; MXINT8; MXFP6 E2M3 |
| MXFP4 | E8M0 code, 16 bytes of nibbles | E2M1 | MXFP4 |

MXINT8 has q = k and d = s/64; E2M3 counts in eighths, so q = 8·value and d = s/8. A scale of a
larger group or of a whole channel is repeated in each of its blocks. Types with a minimum (Q4_1)
are left alone: they hold m = −z·s in 16 bits, which is another number. ggml's own quantizer is
never called: it would quantize again.

Source: ggml-common.h and ggml-quants.c of llama.cpp; read back through gguf 0.19.0.
"""

from __future__ import annotations

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from torch import Tensor

from qcore.errors import ExportError
from qcore.export.gguf.choice import BLOCK, Container, container_of
from qcore.export.packing import exponent_codes
from qcore.export.schemes import exact_scale
from qcore.formats.coding import dequantize, element_of
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized

TYPES: dict[Container, GGMLQuantizationType] = {
    "Q4_0": GGMLQuantizationType.Q4_0,
    "Q5_0": GGMLQuantizationType.Q5_0,
    "Q8_0": GGMLQuantizationType.Q8_0,
    "MXFP4": GGMLQuantizationType.MXFP4,
}


def type_of(fmt: Format, width: int) -> GGMLQuantizationType:
    """The ggml type that holds a format's numbers.

    Raises:
        ExportError: none does, or groups or rows are no multiples of 32.
    """
    chosen = TYPES[container_of(fmt)]
    if width % BLOCK:
        raise ExportError(
            f"rows of {width} inputs are no multiple of {BLOCK}, a block of ggml's types",
            remedy="export to compressed-tensors",
        )
    return chosen


def bytes_of(kind: GGMLQuantizationType, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor's data."""
    block, size = GGML_QUANT_SIZES[kind]
    count = 1
    for length in shape:
        count *= length
    return count // block * size


def pack(path: str, quantized: Quantized) -> np.ndarray:
    """Rows of blocks as bytes, uint8 [out, bytes].

    Args:
        path: what errors call the layer.
        quantized: codes, scales and zero points.

    Raises:
        ExportError: a number that the type does not hold.
    """
    fmt = quantized.format
    out, width = quantized.codes.shape
    kind = type_of(fmt, width)
    if kind == GGMLQuantizationType.MXFP4:
        exponents = exponent_codes(quantized.scales.scale).numpy()[..., None]
        blocks = quantized.codes.view(torch.uint8).numpy().reshape(out, -1, BLOCK)
        return np.concatenate([exponents, _nibbles(blocks)], axis=-1).reshape(out, -1)
    whole, scale = _whole_numbers(path, quantized)
    low, high = _RANGES[kind]
    if int(whole.min()) < low or int(whole.max()) > high:
        raise ExportError(
            f"codes of {path} run from {int(whole.min())} to {int(whole.max())} about their zero "
            f"point, and {kind.name} holds {low} to {high}",
            remedy="export to compressed-tensors, or quantize symmetrically",
        )
    half = exact_scale(path, scale, torch.float16).numpy()
    d = np.repeat(half, width // BLOCK // half.shape[1], axis=1)[..., None].view(np.uint8)
    q = whole.numpy().reshape(out, -1, BLOCK)
    if kind == GGMLQuantizationType.Q8_0:
        parts = [d, q.astype(np.int8).view(np.uint8)]
    elif kind == GGMLQuantizationType.Q4_0:
        parts = [d, _nibbles((q + 8).astype(np.uint8))]
    else:
        unsigned = (q + 16).astype(np.uint8)
        fifth = np.packbits(unsigned >> 4, axis=-1, bitorder="little")
        parts = [d, fifth, _nibbles(unsigned & 15)]
    return np.concatenate(parts, axis=-1).reshape(out, -1)


def as_read(quantized: Quantized) -> Tensor:
    """What a reader of the blocks ends up with, float32 [out, in], to the bit.

    Minifloats have a −0 and ggml's tables have none: there it is 0, the same number.
    """
    weights = dequantize(quantized)
    return weights + 0.0 if quantized.format.kind == "mx" else weights


_RANGES = {
    GGMLQuantizationType.Q4_0: (-8, 7),
    GGMLQuantizationType.Q5_0: (-16, 15),
    GGMLQuantizationType.Q8_0: (-128, 127),
}


def _whole_numbers(path: str, quantized: Quantized) -> tuple[Tensor, Tensor]:
    """The q as int16 [out, in] and d as float32 [out, groups], such that w = q·d."""
    fmt, scale = quantized.format, quantized.scales.scale
    if fmt.kind == "int":
        whole = quantized.codes.to(torch.int16)
        zero = quantized.scales.zero
        if zero is not None:
            whole = (whole.unflatten(1, (zero.shape[1], -1)) - zero[..., None].short()).flatten(1)
        return whole, scale
    if fmt.name == "mxint8":
        return quantized.codes.to(torch.int16), scale / 64
    from kernels.elements.values import decode

    eighths = decode(quantized.codes, element_of(fmt)) * 8
    return eighths.to(torch.int16), scale / 8


def _nibbles(blocks: np.ndarray) -> np.ndarray:
    """4-bit numbers [..., 32] as 16 bytes: element j in the low nibble, j + 16 in the high one."""
    return blocks[..., :16] | blocks[..., 16:] << 4
