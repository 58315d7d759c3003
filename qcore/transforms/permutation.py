"""Orders of channels that share the ℓ1 mass evenly among the blocks of a rotation (MixQuant).

A block rotation cannot spread an outlier beyond its block: with R = I ⊗ H_b,

    ‖xR‖∞ ≤ max_j ‖x_(j)‖₁ / √b,

so the best order of channels makes the largest block mass as small as it can be; equal masses
reach the ideal √b ‖x‖₁ / d (arXiv 2601.22347).

*MassDiff* is the paper's greedy: channels by falling mean magnitude, the first m seed the m
blocks, and each next one goes to the block, not yet full, of least mass. The mean over tokens of a
block's ℓ1 mass is the sum of its channels' mean magnitudes, so the calibration needs E|x_i| alone
and the choice is scalar scheduling with capacities: one heap, O(d log m).

*zigzag* deals channels by falling absolute maximum to the blocks, forth and back. *absmax* sorts by
it, *random* shuffles, *identity* leaves all as it is.

An expanded input has fewer features than slots; its zeros are shared over the blocks (`block_fill`
in `kernels.hadamard`), and the capacities here follow. Ties go to the lower channel and the lower
block, so equal statistics give equal orders on every machine.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.hadamard.sylvester import block_fill
from qcore.errors import InvalidRecipe, NumericalError

Method = Literal["identity", "massdiff", "zigzag", "absmax", "random"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """An order of channels and what it does to the blocks.

    Attributes:
        order: position → channel that it takes, int64; `x[..., order]` is the permuted input.
        mass: E‖x_(j)‖₁ of every block after permuting, float64.
        method: how it was made.
    """

    order: Int[Tensor, " d"]
    mass: Float[Tensor, " blocks"]
    method: Method


def permute(
    method: Method,
    mean: Float[Tensor, " d"],
    block: int,
    *,
    absmax: Float[Tensor, " d"] | None = None,
    seed: int = 0,
    slots: int | None = None,
) -> Permutation:
    """The order of channels that `method` chooses.

    Args:
        method: one of METHODS.
        mean: E|x_i| over calibration tokens.
        block: slots to a block.
        absmax: max|x_i| over calibration tokens; zigzag and absmax need it.
        seed: of the random order.
        slots: features after expansion; as many as channels where left out.

    Raises:
        InvalidRecipe: the block does not divide the slots, or a statistic is missing.
        NumericalError: a statistic that is negative or not finite.
    """
    d = len(mean)
    room = capacities(d, block, slots)
    mean = _checked(mean, "mean magnitude", d)
    if method == "massdiff":
        order = mass_diff(mean, room)
    elif method == "random":
        order = torch.randperm(d, generator=torch.Generator().manual_seed(seed))
    elif method == "identity":
        order = torch.arange(d)
    else:
        if absmax is None:
            raise InvalidRecipe(
                f"permutation {method} sorts by the largest magnitude, and none was captured",
                remedy="pass absmax, or choose massdiff",
            )
        largest = _checked(absmax, "largest magnitude", d)
        order = zigzag(largest, room) if method == "zigzag" else _falling(largest)
    return Permutation(order, block_mass(mean[order], room), method)


@dataclass(frozen=True, slots=True, eq=False)
class HeadPermutation:
    """An order within every head's values, shared by the query heads that read them.

    Attributes:
        values: position → channel among v_proj's outputs, `kv_heads · head_dim`, int64.
        outputs: the same order where o_proj reads it, `heads · head_dim` channels.
    """

    values: Int[Tensor, " v"]
    outputs: Permutation


def permute_heads(
    method: Method,
    mean: Float[Tensor, " d"],
    block: int,
    *,
    heads: int,
    kv_heads: int,
    absmax: Float[Tensor, " d"] | None = None,
    seed: int = 0,
) -> HeadPermutation:
    """An order of every value head's channels, for blocks that lie within a head.

    Under grouped-query attention `heads / kv_heads` query heads mix one head of values, so they
    share its order; the statistic is their sum (for absmax, their maximum).

    Args:
        method: one of METHODS.
        mean: E|x_i| at o_proj's input, heads · head_dim.
        block: features to a block; must divide head_dim, or no order within heads would matter.
        heads: query heads.
        kv_heads: value heads; query head h reads value head h // (heads / kv_heads).
        absmax: max|x_i| at o_proj's input; zigzag and absmax need it.
        seed: of the random order; every head has its own draw.

    Raises:
        InvalidRecipe: heads that do not divide, or as `permute`.
    """
    if kv_heads < 1 or heads % kv_heads or len(mean) % heads:
        raise InvalidRecipe(
            f"{len(mean)} channels do not fall into {heads} heads sharing {kv_heads} of values",
            remedy="pass o_proj's input statistics and the model's own head counts",
        )
    width, sharing = len(mean) // heads, heads // kv_heads
    grouped = mean.double().reshape(kv_heads, sharing, width).sum(1)
    peaks = None if absmax is None else absmax.reshape(kv_heads, sharing, width).amax(1)
    orders = torch.stack(
        [
            permute(
                method,
                grouped[head],
                block,
                absmax=None if peaks is None else peaks[head],
                seed=seed + head,
            ).order
            for head in range(kv_heads)
        ]
    )  # (kv_heads, head_dim)
    values = (orders + width * torch.arange(kv_heads)[:, None]).reshape(-1)
    reading = orders.repeat_interleave(sharing, 0)  # (heads, head_dim)
    outputs = (reading + width * torch.arange(heads)[:, None]).reshape(-1)
    mass = block_mass(mean.cpu()[outputs], capacities(len(mean), block))
    return HeadPermutation(values, Permutation(outputs, mass, method))


def mass_diff(mean: Float[Tensor, " d"], room: Sequence[int]) -> Int[Tensor, " d"]:
    """MassDiff: each channel, by falling mean magnitude, to the lightest block with room.

    Args:
        mean: E|x_i|, not negative.
        room: capacity of every block, summing to d.

    Returns:
        position → channel; within a block, in the order of assignment.
    """
    _check_room(mean, room)
    ranked = _falling(mean)
    falling = list(zip(ranked.tolist(), mean[ranked].tolist(), strict=True))
    members: list[list[int]] = [[] for _ in room]
    # Blocks without room are the last ones, and only where there are fewer channels than blocks.
    for block, (channel, _) in zip(range(len(room)), falling, strict=False):
        members[block].append(channel)
    lightest = [
        (weight, block)
        for block, (_, weight) in zip(range(len(room)), falling, strict=False)
        if room[block] > 1
    ]
    heapq.heapify(lightest)
    for channel, weight in falling[len(room) :]:
        mass, block = lightest[0]
        members[block].append(channel)
        if len(members[block]) < room[block]:
            heapq.heapreplace(lightest, (mass + weight, block))
        else:
            heapq.heappop(lightest)
    return torch.tensor([channel for block in members for channel in block], dtype=torch.int64)


def zigzag(absmax: Float[Tensor, " d"], room: Sequence[int]) -> Int[Tensor, " d"]:
    """Channels by falling absmax, dealt to the blocks 0 … m−1, then m−1 … 0, and so on.

    A block that is full is passed over, which happens in the last round of an expanded input.
    """
    _check_room(absmax, room)
    members: list[list[int]] = [[] for _ in room]
    forth = list(range(len(room)))
    ranked = iter(_falling(absmax).tolist())
    for step in range(max(room, default=0)):
        for block in forth if step % 2 == 0 else reversed(forth):
            if len(members[block]) < room[block]:
                members[block].append(next(ranked))
    return torch.tensor([channel for block in members for channel in block], dtype=torch.int64)


def capacities(channels: int, block: int, slots: int | None = None) -> list[int]:
    """How many channels every block holds, zeros aside.

    Raises:
        InvalidRecipe: the block does not divide the slots, or the channels do not fit.
    """
    slots = channels if slots is None else slots
    if block < 1 or slots % block:
        offered = ", ".join(str(1 << k) for k in range(1, (slots & -slots).bit_length()))
        raise InvalidRecipe(
            f"block {block} does not divide {slots}",
            remedy=f"choose {offered}"
            if offered
            else "leave the permutation out: the width is odd",
        )
    if channels > slots:
        raise InvalidRecipe(f"{channels} channels do not fit {slots} slots", remedy="expand more")
    fuller, least = block_fill(channels, slots, block)
    return [least + 1] * fuller + [least] * (slots // block - fuller)


def block_mass(mean: Float[Tensor, " d"], room: Sequence[int]) -> Float[Tensor, " blocks"]:
    """E‖x_(j)‖₁ of consecutive blocks of the given sizes, float64."""
    return torch.stack([part.sum() for part in mean.double().split(list(room))])


def _check_room(values: Tensor, room: Sequence[int]) -> None:
    if sum(room) != len(values):
        raise InvalidRecipe(
            f"blocks with room for {sum(room)} do not take {len(values)} channels",
            remedy="make the room with `capacities`",
        )


def _falling(values: Tensor) -> Int[Tensor, " d"]:
    return torch.argsort(values, descending=True, stable=True)


def _checked(statistic: Tensor, what: str, d: int) -> Tensor:
    statistic = statistic.detach().to("cpu", torch.float64)
    if statistic.shape != (d,):
        raise InvalidRecipe(
            f"{what} has shape {tuple(statistic.shape)} for {d} channels",
            remedy="pass one value per channel",
        )
    bad = (~torch.isfinite(statistic) | (statistic < 0)).nonzero()
    if len(bad):
        channel = int(bad[0])
        raise NumericalError(
            f"{what} of channel {channel} is {float(statistic[channel]):g}",
            remedy="look for NaN in the weights or in the calibration activations",
        )
    return statistic
