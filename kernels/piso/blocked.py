"""PiSO's sweep in blocks, on any device and in any float type.

The idea is in `kernels.piso.operation`. C transitions of B channels are taken at a time: one matrix
product (B×d)(d×d) gives Hq at the block's start, and inside the block transition c also meets those
before it,

    (Hq)_{i_c} += Σ_{c' < c} δ_{c'} H[i_c, i_{c'}],

a strict lower triangle of gathered entries. α and β of all C pieces are then running sums.

In float32 those sums drift (a part in 10⁴ of the error at 6 bits), enough to choose a neighbouring
piece. So the best few pieces of every channel are kept and scored again in double.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.piso.values import MARGINS, STORAGE, Side, score, sides

_KEPT = 4
"""Pieces of a channel that are scored again in double precision."""

TWIN_FLIPS = 256
"""Transitions to a block of the triton twin: it gathers only half of the block's entries, and none
of their indices, so that fewer and larger products pay."""


def sweep_blocks(
    weights, grid, hessian, target, storage, *, flips: int = 128, room: int = 1 << 25, twin=False
):
    """(scale, e) of every channel, float64; scale 0 where no code at all is best.

    Args:
        weights: [out, in], of the type that the sweep is to run in.
        grid: sorted, with 0 in it.
        hessian: H, or its diagonal; the weights' type.
        target: [out, in], Gw; the weights' type.
        storage: the type that will hold the scale.
        flips: transitions to a block.
        room: bound on the elements of one gather, which limits the channels done at a time.
        twin: let `kernels.piso.triton` do what lies inside a block; H is dense then.
    """
    positive, negative = sides(grid)
    rows, sums = max(1, room // (flips * flips)), block_sums
    if twin:
        from kernels.piso.triton import (
            block_sums as block_sums_triton,  # triton is not on every machine
        )

        sums, flips = block_sums_triton, TWIN_FLIPS
    parts = [
        _sweep_block(w, positive, negative, hessian, aim, storage, flips, sums)
        for w, aim in zip(weights.split(rows), target.split(rows), strict=True)
    ]
    kept = torch.cat(parts)  # (out, kept)
    errors = torch.stack(
        [
            score(weights, torch.where(s > 0, s, torch.inf), grid, hessian, target)
            for s in kept.unbind(1)
        ],
        dim=1,
    )
    errors = torch.where(kept > 0, errors, 0.0)
    best = errors.argmin(1, keepdim=True)
    error, scale = errors.gather(1, best)[:, 0], kept.gather(1, best)[:, 0]
    return torch.where(error < 0, scale, 0.0), error.clamp(max=0.0)


def block_sums(q, hessian, target, entry, step, alpha, beta):
    """α and β after each transition of a block; q [rows, in] takes the block's steps.

    Args:
        q: the codes before it, changed in place.
        hessian: H, or its diagonal.
        target: [rows, in].
        entry: [rows, flips], which entry moves.
        step: [rows, flips], how far.
        alpha: [rows, 1], before it.
        beta: [rows, 1].
    """
    dense = hessian.dim() == 2
    diagonal = hessian.diagonal() if dense else hessian
    hq = (q @ hessian if dense else q * hessian).gather(1, entry)
    if dense:
        inner = hessian[entry[:, :, None], entry[:, None, :]]
    else:
        inner = (entry[:, :, None] == entry[:, None, :]) * diagonal[entry][:, None]
    hq = hq + (inner.tril(-1) @ step[:, :, None])[:, :, 0]
    q.scatter_add_(1, entry, step)
    alphas = alpha + (step * target.gather(1, entry)).cumsum(1)
    return alphas, beta + (step * (2 * hq + step * diagonal[entry])).cumsum(1)


def _sweep_block(w, positive, negative, hessian, target, storage, flips, sums):
    """The storable scales of the `_KEPT` best pieces of each row, 0 where there are fewer."""
    high, entry, step = _flips(w, positive, negative)
    low = torch.cat([high[:, 1:], torch.zeros_like(high[:, :1])], dim=1)
    q = torch.zeros_like(w)
    alpha = beta = w.new_zeros(len(w), 1)
    best = w.new_zeros(len(w), _KEPT)
    kept = torch.zeros(len(w), _KEPT, dtype=torch.float64, device=w.device)
    for at in range(0, high.shape[1], flips):
        part = slice(at, at + flips)
        alphas, betas = sums(q, hessian, target, entry[:, part], step[:, part], alpha, beta)
        scales, errors = _pieces(alphas, betas, low[:, part], high[:, part], storage)
        alpha, beta = alphas[:, -1:], betas[:, -1:]
        best, order = torch.cat([best, errors], 1).topk(_KEPT, dim=1, largest=False)
        kept = torch.cat([kept, scales], 1).gather(1, order)
    return kept


def _flips(w: Tensor, positive: Side, negative: Side) -> tuple[Tensor, Tensor, Tensor]:
    """(scale, entry, step) of all transitions of each row, scales falling; absent ones last."""
    levels = max(len(positive.gap), len(negative.gap))

    def pad(values: tuple[float, ...], fill: float) -> Tensor:
        return w.new_tensor((*values, *(fill for _ in range(levels - len(values)))))

    up = (w > 0)[:, :, None]
    middle = torch.where(up, pad(positive.middle, torch.inf), pad(negative.middle, torch.inf))
    gap = torch.where(up, pad(positive.gap, 0.0), -pad(negative.gap, 0.0))
    scale = (w.abs()[:, :, None] / middle).flatten(1)
    scale, order = scale.sort(dim=1, descending=True, stable=True)
    step = gap.flatten(1).gather(1, order)
    return scale, order // levels, torch.where(scale > 0, step, 0.0)


def _pieces(alpha, beta, low, high, storage):
    """The better storable scale of each piece (float64, 0 where none) and its e (inf there)."""
    margin = MARGINS[storage]
    alpha, beta = alpha.double(), beta.double()
    low, high = low.double() * (1 + margin), high.double() * (1 - margin)
    wide = (low < high) & (alpha > 0)
    s = torch.where(beta > 0, alpha / beta, torch.inf).clamp(low, high.maximum(low))
    precision, smallest, largest = STORAGE[storage]
    exponent = (torch.frexp(s).exponent - 1).clamp(min=smallest) - (precision - 1)
    unit = torch.exp2(exponent.double())
    down = (s / unit).floor() * unit
    up = torch.where(down == s, down, down + unit)
    scale, error = torch.zeros_like(s), torch.full_like(s, torch.inf)
    for near in (down, up):
        fits = wide & (near >= low) & (near <= high) & (near > 0) & (near <= largest)
        e = torch.where(fits, near * (near * beta - 2 * alpha), torch.inf)
        scale, error = torch.where(e < error, near, scale), torch.minimum(e, error)
    return scale, error.to(alpha.dtype)
