"""What the implementations of PiSO share: the steps of a grid, storage types, the score."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import KernelError

MARGINS = {
    torch.float64: 2.0**-40,
    torch.float32: 2.0**-22,
    torch.bfloat16: 2.0**-22,
    torch.float16: 2.0**-22,
}
"""Relative distance kept from transition scales, by storage type."""

STORAGE = {
    torch.float64: (53, -1022, float(np.finfo(np.float64).max)),
    torch.float32: (24, -126, float(np.finfo(np.float32).max)),
    torch.bfloat16: (8, -126, 3.3895313892515355e38),
    torch.float16: (11, -14, 65504.0),
}
"""Significand bits, smallest exponent and largest value of a stored scale."""


@dataclass(frozen=True, slots=True)
class Side:
    """The steps of a grid on one side of zero.

    Attributes:
        middle: midpoints between neighbours, rising: an entry takes step k where |w|/s passes it.
        gap: the steps' lengths.
    """

    middle: tuple[float, ...]
    gap: tuple[float, ...]


def sides(grid: Float[Tensor, "points"]) -> tuple[Side, Side]:
    """The positive and the negative side of a sorted grid that contains 0.

    Raises:
        KernelError: the grid is unsorted, has no 0, or nothing else.
    """
    points = [float(point) for point in grid]
    if points != sorted(set(points)) or 0.0 not in points or len(points) < 2:
        raise KernelError(
            f"{len(points)} points make no grid",
            remedy="a grid is sorted, has each point once, contains 0 and another point",
        )
    positive = [point for point in points if point >= 0.0]
    negative = [-point for point in reversed(points) if point <= 0.0]
    return _side(positive), _side(negative)


def _side(values: list[float]) -> Side:
    pairs = list(itertools.pairwise(values))
    return Side(tuple((a + b) / 2 for a, b in pairs), tuple(b - a for a, b in pairs))


def nearest(
    weights: Float[Tensor, "out in"], scale: Float[Tensor, "out"], grid: Float[Tensor, "points"]
) -> Float[Tensor, "out in"]:
    """The grid's points nearest to weights / scale, in double; a tie goes to the lower point."""
    points = grid.to(weights.device, torch.float64)
    ratio = weights.double() / scale.double()[:, None]
    return points[torch.bucketize(ratio, (points[1:] + points[:-1]) / 2)]


def score(
    weights: Float[Tensor, "out in"],
    scale: Float[Tensor, "out"],
    grid: Float[Tensor, "points"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, "in"],
    target: Float[Tensor, "out in"],
) -> Float[Tensor, "out"]:
    """s²β − 2sα of given scales, afresh in double."""
    q = nearest(weights, scale, grid)
    hq = q * hessian.double() if hessian.dim() == 1 else q @ hessian.double()
    s = scale.double()
    return s * (s * (q * hq).sum(1) - 2 * (q * target.double()).sum(1))
