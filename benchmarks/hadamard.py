"""Hadamard transforms on the CPU: matrix products with small factors against butterflies.

The butterfly is the textbook's: log₂ passes of sums and differences over the power-of-two part,
after a dense product with the core; in bfloat16 it rounds after every pass, ours once at the end.
`copy` is what touching the data once costs. 512 tokens; the expanded row transforms 8192 features
in order 10240, the butterfly padding them first.

    python -m benchmarks.hadamard
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks._measure import interleave, save, table
from qcore.transforms.cores import core
from qcore.transforms.hadamard import Rotation, block_rotation, full_rotation, order_for, rotate

TOKENS = 512
CASES: tuple[tuple[int, Rotation], ...] = (
    (576, full_rotation(576)),
    (1536, full_rotation(1536)),
    (8192, full_rotation(8192)),
    (8192, full_rotation(10240)),
    (14336, full_rotation(14336)),
    (1536, block_rotation(1536, 32)),
    (1536, block_rotation(1536, 128)),
    (8192, block_rotation(8192, 32)),
)


def butterfly(x: Tensor, rotation: Rotation) -> Tensor:
    x = torch.nn.functional.pad(x, (0, rotation.order - x.shape[-1]))
    order = order_for(rotation.block)
    assert order is not None
    y = x.reshape(-1, order.core, 1 << order.log2)
    if order.core > 1:
        y = core(order.core).to(x.dtype).T @ y
    half = 1
    while half < y.shape[-1]:
        pairs = y.view(len(y), order.core, -1, 2, half)
        low, high = pairs.unbind(-2)
        y = torch.stack((low + high, low - high), -2).view(y.shape)
        half *= 2
    return (y * (1 / math.sqrt(rotation.block))).view(*x.shape)


def measure(width: int, rotation: Rotation, dtype: torch.dtype) -> dict[str, object]:
    x = torch.randn(TOKENS, width, generator=torch.Generator().manual_seed(width)).to(dtype)
    exact = rotate(x.double(), rotation)
    seconds = interleave(
        {
            "copy": x.clone,
            "butterfly": lambda: butterfly(x, rotation),
            "ours": lambda: rotate(x, rotation),
        }
    )
    return {
        "features": width,
        "rotation": rotation.title,
        "dtype": str(dtype).removeprefix("torch."),
        **{f"{name}_ms": 1000 * value for name, value in seconds.items()},
        "speedup": seconds["butterfly"] / seconds["ours"],
        "error": float((rotate(x, rotation) - exact).norm() / exact.norm()),
        "butterfly_error": float((butterfly(x, rotation) - exact).norm() / exact.norm()),
    }


def main() -> None:
    rows = [
        measure(width, rotation, dtype)
        for dtype in (torch.float32, torch.bfloat16)
        for width, rotation in CASES
    ]
    print(table(rows))
    print(save("hadamard", rows).name)


if __name__ == "__main__":
    main()
