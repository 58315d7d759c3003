"""How compressed-tensors writes each Format: its own name for it, the tensors, and their bytes.

Read in the library's source and measured with version 0.20.0:

- `pack-quantized` (INT2 to INT8): `weight_packed`, a bit stream of code + 2^(b−1) per row;
  `weight_scale` [out, groups]; `weight_shape`; with zero points `weight_zero_point`, a bit stream
  down each column of z + 2^(b−1); w = (q − z)·s with q and z signed.
- `mxfp4-pack-quantized`: two codes a byte, the even column in the low nibble, the sign in bit 3.
- `mxfp6-pack-quantized`: E2M3 only, four codes in three bytes.
- `mxfp8-quantized`: E4M3 only, as `float8_e4m3fn`.

All MX formats keep E8M0 codes, exponent + 127, as `weight_scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qcore.errors import ExportError
from qcore.export.packing import exponent_codes, pack_bits, pack_nibbles, words_of
from qcore.export.tensors import LazyTensor
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized


def arguments_of(fmt: Format) -> dict[str, Any]:
    """The `weights` entry of a config group."""
    mx = fmt.kind == "mx"
    found: dict[str, Any] = {
        "num_bits": fmt.bits,
        "type": "float" if mx else "int",
        "symmetric": fmt.symmetric,
        "strategy": "channel" if fmt.group is None else "group",
        "group_size": fmt.group,
        "dynamic": False,
        "actorder": None,  # columns are written in their plain order
    }
    if mx:
        found["scale_dtype"] = "torch.uint8"
    return found


def linear_tensors(
    path: str, shape: tuple[int, int], fmt: Format, dtype: torch.dtype, get: Callable[[], Quantized]
) -> list[LazyTensor]:
    """What stands in the checkpoint for one linear's weight.

    Args:
        path: the linear's module path.
        shape: [out, in].
        fmt: of its codes.
        dtype: of the checkpoint's float tensors, INT scales among them.
        get: its codes and scales.
    """
    out, width = shape
    groups = fmt.groups(width)
    if fmt.kind == "mx":
        packed = LazyTensor(
            *_MX_TENSORS[fmt.name](path, out, width), lambda: _mx_codes(get().codes, fmt)
        )
        exponents = LazyTensor(
            f"{path}.weight_scale",
            torch.uint8,
            (out, groups),
            lambda: exponent_codes(get().scales.scale),
        )
        return [packed, exponents]
    made = [
        LazyTensor(
            f"{path}.weight_packed",
            torch.int32,
            (out, words_of(width, fmt.bits)),
            lambda: pack_bits(_unsigned(get().codes, fmt), fmt.bits),
        ),
        LazyTensor(
            f"{path}.weight_scale",
            dtype,
            (out, groups),
            lambda: exact_scale(path, get().scales.scale, dtype),
        ),
        LazyTensor(f"{path}.weight_shape", torch.int64, (2,), lambda: torch.tensor(shape)),
    ]
    if not fmt.symmetric:
        made.append(
            LazyTensor(
                f"{path}.weight_zero_point",
                torch.int32,
                (words_of(out, fmt.bits), groups),
                lambda: pack_bits(_zero(get()).T, fmt.bits).T.contiguous(),
            )
        )
    return made


def exact_scale(path: str, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The scales in another type, to the bit.

    Raises:
        ExportError: the type does not hold one of them: readers would round it.
    """
    held = scale.to(dtype)
    lost = int((held.float() != scale).sum())
    if lost:
        name = str(dtype).removeprefix("torch.")
        raise ExportError(
            f"{lost} of {scale.numel()} scales of {path} are no {name} numbers, in which servers "
            f"keep them beside a network of {name}",
            remedy=f"run it again with scales.storage {name}, or export a float32 network",
        )
    return held


def _unsigned(codes: Tensor, fmt: Format) -> Tensor:
    """Codes from 0: symmetric ones begin at −2^(b−1); those with a zero point at 0 already."""
    return codes.to(torch.int16) + (1 << (fmt.bits - 1)) if fmt.symmetric else codes


def _zero(quantized: Quantized) -> Tensor:
    """Zero points from 0; signed ones, as the library reads them, are 2^(b−1) less."""
    assert quantized.scales.zero is not None
    return quantized.scales.zero.to(torch.int16)


def _mx_codes(codes: Tensor, fmt: Format) -> Tensor:
    bits = codes.view(torch.uint8)
    if fmt.bits == 4:
        return pack_nibbles(bits)
    if fmt.bits == 6:
        return pack_bits(bits, 6).view(torch.uint8)
    return bits.view(torch.float8_e4m3fn)


_MX_TENSORS: dict[str, Callable[[str, int, int], tuple[str, torch.dtype, tuple[int, int]]]] = {
    "mxfp4": lambda path, out, width: (f"{path}.weight_packed", torch.uint8, (out, width // 2)),
    "mxfp6_e2m3": lambda path, out, width: (
        f"{path}.weight_packed",
        torch.uint8,
        (out, width * 3 // 4),
    ),
    "mxfp8_e4m3": lambda path, out, width: (f"{path}.weight", torch.float8_e4m3fn, (out, width)),
}
