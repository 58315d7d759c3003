"""How far PiSO's default zero points are from the optimum, and what they cost in sweeps.

Made layers: correlated inputs of unequal size and mean, weights that lean to one side. For each
width of codes the remaining error wᵀHw of `near` is held against that of `all`, channel by channel;
a sweep is one exact search over the scale for one zero point of one channel (or group).

    python -m benchmarks.zero_points
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from qcore.formats.format import named
from qcore.scales import groupfit
from qcore.scales.groupfit import ZeroPoints
from qcore.scales.piso import fit

TOKENS = 2000


def made_layer(width: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """H [width, width] in float64 and a weight [rows, width]."""
    make = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=make) / width**0.5 + torch.eye(width)
    x = torch.randn(TOKENS, width, generator=make) @ mix
    x = x * torch.exp(torch.randn(width, generator=make)) + 2 * torch.randn(width, generator=make)
    weight = torch.randn(rows, width, generator=make) + 0.5 * torch.randn(rows, 1, generator=make)
    weight *= torch.exp(0.3 * torch.randn(rows, width, generator=make))
    return (x.T @ x).double(), weight


@contextmanager
def counted() -> Iterator[list[int]]:
    """Sweeps made inside, one entry for each call."""
    sweeps, search = [], groupfit.search

    def counting(rows: Tensor, *given: object, **more: object):
        sweeps.append(len(rows))
        return search(rows, *given, **more)  # type: ignore[arg-type]

    groupfit.search = counting
    try:
        yield sweeps
    finally:
        groupfit.search = search


def remaining(
    hessian: Tensor, weight: Tensor, bits: int, group: int | None, how: ZeroPoints
) -> tuple[Tensor, float]:
    """The error of every channel, and sweeps per group."""
    energy = ((weight.double() @ hessian) * weight.double()).sum(1)
    fmt = named(f"int{bits}_asym", group)
    with counted() as sweeps:
        found = fit(weight, fmt, hessian, grouping="independent", zero_points=how)
    groups = len(weight) * fmt.groups(weight.shape[1])
    return found.error + energy, sum(sweeps) / groups


def main() -> None:
    """Print one row for each width of codes, for whole channels and for groups of 32."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--rows", type=int, default=32)
    given = parser.parse_args()
    print("| group | bits | worse than the optimum | at worst | on average | sweeps: near, all |")
    print("|---|---|---|---|---|---|")
    for group, width in ((None, given.width), (None, 32)):
        for bits in range(2, 9):
            hessian, weight = made_layer(width, given.rows, bits)
            near, tried = remaining(hessian, weight, bits, group, "near")
            best, every = remaining(hessian, weight, bits, group, "all")
            ratio = near / best
            worse = int((ratio > 1 + 1e-9).sum())
            print(
                f"| {width} | {bits} | {worse} of {given.rows} | "
                f"{float(ratio.max()):.3f} | {float(ratio.mean()):.4f} | "
                f"{tried:.1f}, {every:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
