"""Outliers of a vector, and what a block rotation can do about them (MixQuant, §3).

With d features in blocks of b and R = I ⊗ H_b (random signs change nothing below):

    ‖xR‖∞ ≤ max_j ‖x_(j)‖₁ / √b        each output sums one block with weights ±1/√b
          ≥ …  √b ‖x‖₁ / d             what that bound becomes when all blocks weigh the same

The bound is attained when a block's signs agree with a row of H_b. Once every block satisfies
‖x_(j)‖₁ ≤ √b ‖x‖∞, the rotation cannot raise the peak. A random orthogonal rotation has no such
bound: its entries are not ±1/√b.

Everything works on the last axis, token by token, in the dtype it is given (half precision in
float32). In an expanded input the blocks hold fewer features than b; `order` says how many there
are after expansion, and the features are shared out as `block_fill` says.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kernels.hadamard.sylvester import block_fill
from qcore.errors import InvalidRecipe


def block_l1(
    x: Float[Tensor, "*tokens d"], block: int, order: int | None = None
) -> Float[Tensor, "*tokens blocks"]:
    """The ℓ1 mass ‖x_(j)‖₁ of every block.

    Raises:
        InvalidRecipe: the block does not divide the (expanded) features.
    """
    return _by_block(x.abs(), block, order, lambda part: part.sum(-1))


def block_peak(
    x: Float[Tensor, "*tokens d"], block: int, order: int | None = None
) -> Float[Tensor, "*tokens blocks"]:
    """‖x_(j)‖∞ of every block; 0 for a block of zeros alone."""
    return _by_block(x.abs(), block, order, lambda part: part.amax(-1))


def peak_bound(
    x: Float[Tensor, "*tokens d"], block: int, order: int | None = None
) -> Float[Tensor, "*tokens"]:
    """max_j ‖x_(j)‖₁ / √b: no entry of the rotated x is larger."""
    return block_l1(x, block, order).amax(-1) / math.sqrt(block)


def ideal_bound(
    x: Float[Tensor, "*tokens d"], block: int, order: int | None = None
) -> Float[Tensor, "*tokens"]:
    """√b ‖x‖₁ / d: the smallest `peak_bound` that any order of the features can reach."""
    return _float(x).abs().sum(-1) * math.sqrt(block) / (order or x.shape[-1])


def worsened_blocks(
    x: Float[Tensor, "*tokens d"], rotated: Float[Tensor, "*tokens order"], block: int
) -> Bool[Tensor, "*tokens blocks"]:
    """Which blocks have a larger peak after the rotation than before it."""
    return block_peak(rotated, block) > block_peak(x, block, rotated.shape[-1])


def kurtosis(x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens"]:
    """E(x − μ)⁴ / σ⁴ over the last axis: 3 for a Gaussian, about d for a lone spike.

    NaN for a constant vector, which has no spread to compare with.
    """
    x = _float(x)
    square = (x - x.mean(-1, keepdim=True)).square()
    return square.square().mean(-1) / square.mean(-1).square()


def peak_to_rms(x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens"]:
    """‖x‖∞ / (‖x‖₂ / √d): 1 when all magnitudes agree, √d for a single spike; NaN for zeros."""
    x = _float(x)
    return x.abs().amax(-1) / x.square().mean(-1).sqrt()


def _by_block(x: Tensor, block: int, order: int | None, reduce) -> Tensor:
    x, d = _float(x), x.shape[-1]
    order = d if order is None else order
    if block < 1 or order % block or d > order:
        offered = ", ".join(str(1 << k) for k in range(1, (order & -order).bit_length()))
        raise InvalidRecipe(
            f"blocks of {block} do not hold {d} features in {order} places",
            remedy=f"choose a block that divides {order} ({offered}) and at least {d} places",
        )
    fuller, least = block_fill(d, order, block)
    split = fuller * (least + 1)
    head = reduce(x[..., :split].unflatten(-1, (fuller, least + 1))) if fuller else None
    blocks = order // block - fuller
    if least:
        tail = reduce(x[..., split:].unflatten(-1, (blocks, least)))
    else:
        tail = x.new_zeros(*x.shape[:-1], blocks)
    return tail if head is None else torch.cat((head, tail), -1)


def _float(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
