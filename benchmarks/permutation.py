"""MassDiff on one core: the heap against scanning all blocks for every channel.

Both make the same choices from E|x_i| of heavy-tailed channels. The goal is a permutation of 14336
channels in under 50 ms.

    python -m benchmarks.permutation
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks._measure import interleave, save, table
from qcore.transforms.permutation import permute

CASES = ((1536, 32), (8192, 32), (14336, 16), (14336, 32), (14336, 512))


def scanning(mean: Tensor, block: int) -> list[int]:
    blocks = len(mean) // block
    ranked = torch.argsort(mean, descending=True, stable=True)
    mass = mean[ranked[:blocks]].clone()
    members = [[channel] for channel in ranked[:blocks].tolist()]
    for channel in ranked[blocks:].tolist():
        home = int(mass.argmin())
        members[home].append(channel)
        full = len(members[home]) == block
        mass[home] = torch.inf if full else mass[home] + mean[channel]
    return [channel for block_members in members for channel in block_members]


def measure(channels: int, block: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(channels)
    mean = torch.exp(1.5 * torch.randn(channels, generator=generator, dtype=torch.float64))
    made = permute("massdiff", mean, block)
    assert made.order.tolist() == scanning(mean, block)
    seconds = interleave(
        {
            "scan": lambda: scanning(mean, block),
            "heap": lambda: permute("massdiff", mean, block),
        },
        repeats=3,
    )
    identity = permute("identity", mean, block).mass
    return {
        "channels": channels,
        "block": block,
        "scan_ms": 1000 * seconds["scan"],
        "heap_ms": 1000 * seconds["heap"],
        "speedup": seconds["scan"] / seconds["heap"],
        "largest_over_mean_mass": float(made.mass.max() / made.mass.mean()),
        "identity_largest_over_mean": float(identity.max() / identity.mean()),
    }


def main() -> None:
    rows = [measure(channels, block) for channels, block in CASES]
    print(table(rows))
    print(save("permutation", rows).name)


if __name__ == "__main__":
    main()
