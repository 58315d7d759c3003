"""The triton twin of one block of `kernels.piso.blocked`: a channel's C transitions in one program.

The torch form gathers H[i_c, i_c'] for all channels at once, [channels, C, C], and index tensors of
that size with it. Here a program walks over the C×C entries of its channel a few columns at a time,
loads only those below the diagonal, and keeps what they add up to:

    hq_c = (qH)[i_c] + Σ_{c' < c} H[i_c, i_c'] δ_c',   α and β as running sums,   q[i_c] += δ_c

The product qH stays a matrix product of the library. Steps are sums of grid spacings, exact in any
order, so that q does not depend on which of two transitions of one entry is added first.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launch import launch
from kernels.tiles import power_of_two

COLUMNS = 16
"""Columns of the C×C entries that are in flight."""


def block_sums(
    q: Tensor,
    hessian: Tensor,
    target: Tensor,
    entry: Tensor,
    step: Tensor,
    alpha: Tensor,
    beta: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `kernels.piso.blocked.block_sums`; H is dense, and q moves on."""
    product = q @ hessian
    entry, step = entry.contiguous(), step.contiguous()
    alphas, betas = torch.empty_like(step), torch.empty_like(step)
    rows, flips = step.shape
    if flips:
        launch(
            _block_sums, (rows,), q,
            q, product, hessian.contiguous(), target.contiguous(), entry, step,
            alpha.contiguous(), beta.contiguous(), alphas, betas, q.shape[1], flips,
            FLIPS=power_of_two(flips), COLUMNS=COLUMNS, enable_fp_fusion=True,
        )  # fmt: skip
    return alphas, betas


@triton.jit
def _block_sums(
    q_ptr,
    product_ptr,
    hessian_ptr,
    target_ptr,
    entry_ptr,
    step_ptr,
    alpha_ptr,
    beta_ptr,
    alphas_ptr,
    betas_ptr,
    width,
    flips,
    FLIPS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    flip = tl.arange(0, FLIPS)
    inside = flip < flips
    entry = tl.load(entry_ptr + row * flips + flip, mask=inside, other=0)
    step = tl.load(step_ptr + row * flips + flip, mask=inside, other=0.0)
    hq = tl.load(product_ptr + row * width + entry, mask=inside, other=0.0)
    for first in range(0, flips, COLUMNS):
        before = first + tl.arange(0, COLUMNS)
        there = before < flips
        others = tl.load(entry_ptr + row * flips + before, mask=there, other=0)
        moved = tl.load(step_ptr + row * flips + before, mask=there, other=0.0)
        mask = (before[None, :] < flip[:, None]) & inside[:, None]
        at = entry[:, None] * width + others[None, :]
        met = tl.load(hessian_ptr + at, mask=mask, other=0.0)
        hq += tl.sum(met * moved[None, :], 1)
    diagonal = tl.load(hessian_ptr + entry * (width + 1), mask=inside, other=0.0)
    aim = tl.load(target_ptr + row * width + entry, mask=inside, other=0.0)
    alphas = tl.load(alpha_ptr + row) + tl.cumsum(step * aim, 0)
    betas = tl.load(beta_ptr + row) + tl.cumsum(step * (2 * hq + step * diagonal), 0)
    tl.store(alphas_ptr + row * flips + flip, alphas, mask=inside)
    tl.store(betas_ptr + row * flips + flip, betas, mask=inside)
    tl.atomic_add(q_ptr + row * width + entry, step, mask=inside)
