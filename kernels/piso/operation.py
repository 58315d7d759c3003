"""PiSO: the scale of a quantized vector that is exactly best, found piece by piece.

A channel w [in] becomes s·q, where q = q(w; s) are the points of a grid nearest to w/s. Its error
on the layer's output is, up to a constant that knows neither s nor q,

    e(s) = s²β − 2sα,    α = qᵀ(Gw),    β = qᵀHq        (arXiv 2606.10890; docs/piso.md)

q changes only at the transition scales 2|w_i| / (g_k + g_{k+1}); between two of them e is one
parabola, whose minimum over the piece is α/β clamped to it. Let s fall from infinity: entries leave
zero one transition at a time, entry i taking the step δ, and

    α += δ (Gw)_i,    β += 2δ (Hq)_i + δ² H_ii,    Hq += δ H_i

visits every piece. What is left is bookkeeping, in four forms of the same search:

- `reference`: one flip at a time, as above; the truth, and slow.
- `blocked`: C flips of many channels at a time, for any device: `kernels.piso.blocked`.
- `compiled`: for the CPU, `kernels.piso.compiled`;
- `triton`: `blocked`, with one kernel for what lies inside a block, for the GPU.

Two rules make the answer usable. The scale returned is a number that its storage type holds: within
each piece the storable neighbours of the parabola's minimum are tried, so nothing moves afterwards.
And it keeps a small relative distance (`MARGINS`) from every transition, so that w/s computed in
float32 rounds to the codes that were scored; pieces narrower than that are left out.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.checks import require_together
from kernels.dispatch import choose
from kernels.piso.blocked import sweep_blocks
from kernels.piso.values import MARGINS, STORAGE, Side, sides

Form = Literal["reference", "blocked", "compiled", "triton"]
"""The forms of the search: see the module's text."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best scale of every channel.

    Attributes:
        scale: float64, storable; negative only for a search over signed scales. Where coding
            everything as zero is best, a power of two above every transition.
        error: float64, s²β − 2sα at that scale, at most 0. Add ‖Xw‖² for the squared output error.
        implementation: the form of the search that ran.
    """

    scale: Float[Tensor, "out"]
    error: Float[Tensor, "out"]
    implementation: Form


def search(
    weights: Float[Tensor, "out in"],
    grid: Float[Tensor, "points"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, "in"],
    target: Float[Tensor, "out in"],
    *,
    storage: torch.dtype = torch.float32,
    signed: bool = False,
    implementation: Form | None = None,
) -> Found:
    """The scale of each row of `weights` that minimises s²β − 2sα, exactly.

    Args:
        weights: one channel per row, finite.
        grid: sorted, with 0 in it.
        hessian: H, symmetric positive semi-definite; one dimension means its diagonal.
        target: Gw of each row; for G = H that is `weights @ hessian`.
        storage: the type that will hold the scale: float64, float32, bfloat16 or float16.
        signed: search negative scales too; they differ only on a grid that is not symmetric.
        implementation: force a form; None takes the device's, see `kernels.dispatch`.

    Raises:
        KernelError: no such grid, or tensors on different devices.
    """
    require_together(weights=weights, hessian=hessian, target=target)
    asked = "torch" if implementation in ("reference", "blocked") else implementation
    thin = "a diagonal needs no products" if hessian.dim() == 1 else None
    choice = choose(
        "piso", weights.device, {"compiled": None, "triton": thin}, implementation=asked
    )
    implementation = implementation or (
        "blocked" if choice.implementation == "torch" else choice.implementation
    )
    run = {
        "reference": _reference,
        "blocked": sweep_blocks,
        "compiled": _search_compiled,
        "triton": functools.partial(sweep_blocks, twin=True),
    }[implementation]
    scale, error = run(weights, grid, hessian, target, storage)
    mirrored = -grid.flip(0)
    if signed and not torch.equal(mirrored, grid):
        # q(w; −s) on a grid is −q(w; s) on its mirror image, so e is that of the mirror at s.
        other, lower = run(weights, mirrored, hessian, target, storage)
        scale = torch.where(lower < error, -other, scale)
        error = torch.minimum(error, lower)
    empty = _above_all(weights, *sides(grid))
    return Found(torch.where(scale == 0, empty, scale), error, implementation)


def products(
    owner: Int[np.ndarray, "transitions"],
    step: Float[np.ndarray, "transitions"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, "in"],
) -> Float[np.ndarray, "transitions"]:
    """(Hq)_i of the entry i that moves, just before each transition of one channel.

    Args:
        owner: which entry moves, in the order of the transitions.
        step: by how much.
        hessian: as for `search`, on the CPU.
    """
    from kernels.piso.compiled import products_compiled  # numba is slow to import

    return products_compiled(owner, step, hessian)


def _search_compiled(weights, grid, hessian, target, storage):
    from kernels.piso.compiled import search_compiled  # numba is slow to import

    return search_compiled(weights, grid, hessian, target, storage)


def _above_all(weights: Tensor, positive: Side, negative: Side) -> Tensor:
    """A power of two above every transition of a row; 1 for a row of zeros."""
    first = min((*positive.middle[:1], *negative.middle[:1]))
    peak = weights.abs().amax(1).double() / first
    return torch.where(peak > 0, torch.exp2(torch.ceil(torch.log2(peak)) + 1), 1.0)


def _reference(weights, grid, hessian, target, storage):
    """One flip at a time, one channel at a time."""
    positive, negative = sides(grid)
    matrix = torch.diag(hessian) if hessian.dim() == 1 else hessian
    found = [
        _sweep_one(row, positive, negative, matrix.double(), aim, storage)
        for row, aim in zip(weights.double(), target.double(), strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64, device=weights.device).reshape(-1, 2).unbind(1)


def _sweep_one(w, positive, negative, hessian, target, storage):
    flips = []  # (scale, entry, step)
    for i, value in enumerate(w.tolist()):
        side, sign = (positive, 1.0) if value > 0 else (negative, -1.0)
        flips += [(abs(value) / m, i, sign * g) for m, g in zip(side.middle, side.gap, strict=True)]
    flips = sorted((flip for flip in flips if flip[0] > 0), key=lambda flip: -flip[0])
    diagonal, aims = hessian.diagonal().tolist(), target.tolist()
    hq = torch.zeros_like(w)
    alpha = beta = best_scale = best = 0.0
    for at, (high, i, delta) in enumerate(flips):
        alpha += delta * aims[i]
        beta += delta * (2.0 * hq[i].item() + delta * diagonal[i])
        hq.add_(hessian[:, i], alpha=delta)
        low = flips[at + 1][0] if at + 1 < len(flips) else 0.0
        for s in _candidates(alpha, beta, low, high, storage):
            error = s * (s * beta - 2.0 * alpha)
            if error < best:
                best_scale, best = s, error
    return best_scale, best


def _candidates(alpha, beta, low, high, storage):
    """The storable scales of a piece that may be its best: around the parabola's minimum."""
    margin = MARGINS[storage]
    low, high = low * (1.0 + margin), high * (1.0 - margin)
    if low >= high or alpha <= 0.0:
        return []
    s = min(max(alpha / beta, low), high) if beta > 0.0 else high
    precision, smallest, largest = STORAGE[storage]
    unit = math.ldexp(1.0, max(math.frexp(s)[1] - 1, smallest) - (precision - 1))
    down = math.floor(s / unit) * unit
    near = {down, down if down == s else down + unit}
    return [c for c in near if low <= c <= high and 0.0 < c <= largest]
