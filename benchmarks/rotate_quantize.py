"""Rotation and rounding on the CPU: one after the other, or both on a few tokens at a time.

A fused kernel saves the pass through memory between its two parts. So does taking few tokens at a
time, for what lies between then stays in the first- or second-level cache: `over pair` says what
that is worth, and above 1 it costs more than it saves. `copy` is one pass. 512 tokens in blocks of
32.

The allocator must not decide: a process that hands freed memory back pays for fresh pages in the
next call, ten times a copy, and more for large tensors than for small. A tensor of 28 MB, made and
freed first, raises the C library's thresholds, as it is after some calls of a large network.

    python -m benchmarks.rotate_quantize
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks._measure import interleave, save, table
from qcore.formats.coding import fake_quantize
from qcore.formats.format import Format, named
from qcore.transforms.hadamard import Rotation, block_rotation, rotate

TOKENS, WIDTHS, AT_ONCE = 512, (1536, 8192), (32, 128)
FORMATS = ("int4_asym", "mxfp4")


def pair(x: Tensor, rotation: Rotation, fmt: Format) -> Tensor:
    return fake_quantize(rotate(x, rotation), fmt)


def together(x: Tensor, rotation: Rotation, fmt: Format, at_once: int) -> Tensor:
    y = torch.empty_like(x)
    for part, target in zip(x.split(at_once), y.split(at_once), strict=True):
        target.copy_(pair(part, rotation, fmt))
    return y


def measure(width: int, name: str, dtype: torch.dtype) -> list[dict[str, object]]:
    x = torch.randn(TOKENS, width, generator=torch.Generator().manual_seed(width)).to(dtype)
    rotation, fmt = block_rotation(width, 32, seed=0), named(name)
    contenders = {
        "copy": x.clone,
        "pair": partial(pair, x, rotation, fmt),
        **{f"{n} tokens": partial(together, x, rotation, fmt, n) for n in AT_ONCE},
    }
    seconds = interleave(contenders, repeats=15)
    return [
        {
            "features": width,
            "format": name,
            "dtype": str(dtype).removeprefix("torch."),
            "way": way,
            "ms": 1000 * value,
            "over_pair": value / seconds["pair"],
        }
        for way, value in seconds.items()
    ]


def main() -> None:
    torch.set_num_threads(1)
    torch.empty(7 << 20).fill_(0)  # float32: above 32 MB thresholds stay
    rows = [
        row
        for dtype in (torch.float32, torch.bfloat16)
        for width in WIDTHS
        for name in FORMATS
        for row in measure(width, name, dtype)
    ]
    print(table(rows))
    print(save("rotate_quantize", rows).name)


if __name__ == "__main__":
    main()
