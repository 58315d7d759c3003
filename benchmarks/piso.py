"""C1 and C2: PiSO's exact scale against the plain sweep and against a search over 80 scales.

    python -m benchmarks.piso [--repeats 5] [--channels 64] [--bits 4]

CPU seconds per output channel on one thread, contenders in turn, least of the repeats. Errors are
relative to ‖Xw‖², averaged over the channels that all contenders did. `grid 80` tries 80 fractions
of the absmax scale with the same Hessian-aware error, in float32, all channels to a matrix product.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from benchmarks._measure import interleave, save, table
from kernels.piso.operation import search
from kernels.piso.values import score

GRID_POINTS = 80
LOOP_CHANNELS = 1


def layer(width: int, channels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(weight, H) of a layer with correlated inputs of unequal size."""
    make = torch.Generator().manual_seed(seed)
    mix = torch.eye(width) + torch.randn(width, width, generator=make) / width**0.5
    x = torch.randn(2 * width, width, generator=make) @ mix
    x = x * torch.exp(0.7 * torch.randn(width, generator=make))
    weight = torch.randn(channels, width, generator=make)
    return weight, x.T @ x


def integers(bits: int) -> Tensor:
    return torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)).double()


def grid_search(weight: Tensor, hessian: Tensor, bits: int) -> Tensor:
    """The best of 80 fractions of the absmax scale for every channel."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    target = weight @ hessian
    start = weight.abs().amax(1, keepdim=True) / 2 ** (bits - 1)
    best = torch.full_like(start, torch.inf)
    found = start
    for fraction in torch.linspace(1.2, 0.2, GRID_POINTS).tolist():
        scale = start * fraction
        q = (weight / scale).round().clamp(low, high)
        error = ((scale * (q @ hessian) - 2 * target) * scale * q).sum(1, keepdim=True)
        found = torch.where(error < best, scale, found)
        best = torch.minimum(best, error)
    return found[:, 0]


def compare(width: int, bits: int, channels: int, repeats: int) -> dict[str, Any]:
    """C1: one row of times, ratios and errors."""
    weight, hessian = layer(width, channels)
    w, h = weight.double(), hessian.double()
    target = w @ h
    few = slice(0, LOOP_CHANNELS)
    seconds = interleave(
        {
            "exact": lambda: search(w, integers(bits), h, target),
            "grid": lambda: grid_search(weight, hessian, bits),
            "loop": lambda: search(
                w[few], integers(bits), h, target[few], implementation="reference"
            ),
        },
        repeats=repeats,
    )
    energy = (w * target).sum(1)
    exact = search(w, integers(bits), h, target)
    tried = score(w, grid_search(weight, hessian, bits), integers(bits), h, target)
    loop = search(w[few], integers(bits), h, target[few], implementation="reference")
    per_channel = {
        "exact": seconds["exact"] / channels,
        "grid": seconds["grid"] / channels,
        "loop": seconds["loop"] / LOOP_CHANNELS,
    }
    return {
        "width": width,
        "bits": bits,
        "path": exact.implementation,
        "exact ms": 1e3 * per_channel["exact"],
        "grid 80 ms": 1e3 * per_channel["grid"],
        "loop ms": 1e3 * per_channel["loop"],
        "loop / exact": per_channel["loop"] / per_channel["exact"],
        "grid / exact": per_channel["grid"] / per_channel["exact"],
        "exact error": float(((exact.error + energy) / energy).mean()),
        "grid error": float(((tried + energy) / energy).mean()),
        "channels worse than grid": int((exact.error > tried + 1e-9 * tried.abs()).sum()),
        "differs from loop": float(((exact.error[few] - loop.error) / loop.error).abs().max()),
    }


def growth(channels: int, repeats: int) -> list[dict[str, Any]]:
    """C2: how time grows with the width and with the bits."""
    cases = {(d, b): layer(d, channels) for d, b in ((576, 4), (768, 4), (1152, 4), (1536, 4))}
    cases |= {(d, b): layer(d, channels) for d in (576, 1536) for b in (2, 3, 5, 6)}

    def run(width: int, bits: int):
        weight, hessian = cases[width, bits]
        w, h = weight.double(), hessian.double()
        target = w @ h
        return lambda: search(w, integers(bits), h, target)

    seconds = interleave({f"{d} {b}": run(d, b) for d, b in cases}, repeats=repeats)

    def row(what: str, small: tuple[int, int], large: tuple[int, int]) -> dict[str, Any]:
        a, b = (seconds[f"{d} {bits}"] / channels for d, bits in (small, large))
        return {"step": what, "before ms": 1e3 * a, "after ms": 1e3 * b, "ratio": b / a}

    return [
        row("width 576 to 1152, 4 bits", (576, 4), (1152, 4)),
        row("width 768 to 1536, 4 bits", (768, 4), (1536, 4)),
        *(
            row(f"{b} to {b + 1} bits, width {d}", (d, b), (d, b + 1))
            for d in (576, 1536)
            for b in (2, 3, 4, 5)
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--bits", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    comparison = [
        compare(width, given.bits, given.channels, given.repeats) for width in (576, 1536)
    ]
    grown = growth(given.channels, given.repeats)
    print(table(comparison))
    print()
    print(table(grown))
    print(save("piso", [*comparison, *grown]))


if __name__ == "__main__":
    main()
