"""Rotations: orthogonal matrices that spread outliers over many features.

A rotation R acts on row vectors from the right. The input of a linear layer becomes x R and its
weight W R, so that (x R)(W R)ᵀ = x Wᵀ; a second moment XᵀX becomes Rᵀ XᵀX R. Three kinds, told
apart by a value that carries no tensors and can stand in a report:

    full       R = D (K ⊗ S) / √d       one Hadamard matrix over all d features
    block      R = D (I ⊗ B) / √b       one per run of b features
    random     R from the QR decomposition of a Gaussian matrix: where no Hadamard matrix is known

D holds random signs, drawn from a seed, or is the identity. Hadamard matrices exist here for every
order v·2^k with v from `cores`, and for products u·v·2^k of two of them, K = U ⊗ V, whose factors
are applied one after the other: u + v operations a feature instead of u·v. For a width without one,
`full_rotation` falls back openly: to a random orthogonal matrix where the rotation is fused into
weights and costs nothing at run time, to the largest block that divides where it is computed
online. `Rotation.note` says so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.hadamard.operation import block_hadamard_transform, hadamard_transform
from kernels.hadamard.sylvester import block_fill, sylvester
from kernels.rotate_quantize.operation import rotate_and_quantize as rotate_blocks_and_quantize
from kernels.rotate_quantize.values import Quantizer
from qcore.errors import InvalidRecipe
from qcore.transforms.cores import MAX_CORE, core, has_core


class Order(NamedTuple):
    """A Hadamard order u·v·2^k: cores of orders u and v times Sylvester's matrix of order 2^k.

    Attributes:
        core: v.
        log2: k.
        outer: u, 1 wherever one core is enough.
    """

    core: int
    log2: int
    outer: int = 1

    @property
    def size(self) -> int:
        """u·v·2^k."""
        return self.outer * self.core << self.log2

    @property
    def inner(self) -> int:
        """v·2^k."""
        return self.core << self.log2


@functools.cache
def order_for(width: int) -> Order | None:
    """`width` as v·2^k with the smallest core that can be made, else as u·v·2^k, or None."""
    if width < 1:
        return None
    twos = (width & -width).bit_length() - 1
    odd = width >> twos
    if odd == 1:
        return Order(1, twos)
    candidates = (Order(odd << k, twos - k) for k in range(2, twos + 1) if odd << k <= MAX_CORE)
    one = next((order for order in candidates if has_core(order.core)), None)
    return one or _of_two_cores(odd, twos)


def _of_two_cores(odd: int, twos: int) -> Order | None:
    """The product of two cores of odd·2^twos that costs least, u + v; of equal ones the least u."""
    found = [
        Order(right, twos - i - j, left)
        for part in range(3, math.isqrt(odd) + 1, 2)
        if odd % part == 0
        for i in range(2, twos - 1)
        for j in range(2, twos - i + 1)
        for left, right in [sorted((part << i, odd // part << j))]
        if has_core(left) and has_core(right)
    ]
    return min(found, key=lambda order: (order.outer + order.core, order.outer), default=None)


def largest_block(width: int) -> int:
    """The largest Hadamard order that divides `width`; 1 for an odd width."""
    return max(d for d in range(1, width + 1) if width % d == 0 and order_for(d) is not None)


def power_of_two_blocks(width: int) -> list[int]:
    """Powers of two, from 2, that divide `width`: the block sizes to offer."""
    return [1 << k for k in range(1, (width & -width).bit_length())]


@functools.cache
def hadamard_matrix(order: int) -> Int[Tensor, "order order"]:
    """U ⊗ V ⊗ S, ±1 in int8. Shared between callers: do not write to it.

    Raises:
        InvalidRecipe: no Hadamard matrix of that order is known here.
    """
    found = _known(order)
    inner = torch.kron(core(found.core), sylvester(1 << found.log2))
    return inner if found.outer == 1 else torch.kron(core(found.outer), inner)


@dataclass(frozen=True, slots=True)
class Rotation:
    """An orthogonal matrix on `order` features, by how it is made.

    Made by `full_rotation` and `block_rotation`, which choose and explain.

    Attributes:
        kind: `hadamard` or `random`.
        order: features it acts on.
        block: features that one Hadamard matrix mixes; equal to `order` when it mixes all.
        seed: of the random signs (hadamard; None is no signs) or of the matrix (random).
        note: why this is not what was asked; empty where it is.
    """

    kind: Literal["hadamard", "random"]
    order: int
    block: int
    seed: int | None = None
    note: str = ""

    @property
    def is_full(self) -> bool:
        """Whether every output mixes all inputs."""
        return self.block == self.order

    @property
    def title(self) -> str:
        """Label: `Hadamard 12·2^7`, `Hadamard 60·108·2^1`, `Hadamard in blocks of 32`."""
        if self.kind == "random":
            return "random orthogonal"
        if not self.is_full:
            return f"Hadamard in blocks of {self.block}"
        found = _known(self.order)
        cores = "·".join(str(v) for v in (found.outer, found.core) if v > 1)
        return f"Hadamard {cores}·2^{found.log2}" if cores else f"Hadamard 2^{found.log2}"


def full_rotation(width: int, *, seed: int | None = None, fused: bool = False) -> Rotation:
    """One Hadamard matrix over all `width` features, or the fallback that the note explains.

    Args:
        width: features, after expansion.
        seed: random signs in front of the matrix; None for none.
        fused: the rotation disappears into weights, so that a dense matrix costs nothing.

    Raises:
        InvalidRecipe: a width below 1.
    """
    _check_width(width)
    if order_for(width) is not None:
        return Rotation("hadamard", width, width, seed)
    why = f"no Hadamard matrix of order {width} is known here"
    if fused:
        return Rotation("random", width, width, seed or 0, f"{why}: a random orthogonal one")
    block = largest_block(width)
    return Rotation("hadamard", width, block, seed, f"{why}: blocks of {block}, the largest")


def block_rotation(width: int, block: int, *, seed: int | None = None) -> Rotation:
    """A Hadamard matrix on every run of `block` features.

    Args:
        width: features, after expansion.
        block: features to a block; must divide `width` and be a Hadamard order.
        seed: random signs in front of the matrix; None for none.

    Raises:
        InvalidRecipe: the block does not divide the width, or has no Hadamard matrix.
    """
    _check_width(width)
    offered = ", ".join(map(str, power_of_two_blocks(width)))
    remedy = f"choose {offered}" if offered else "leave this rotation out: the width is odd"
    if block < 1 or width % block:
        raise InvalidRecipe(f"block {block} does not divide {width}", remedy=remedy)
    if order_for(block) is None:
        raise InvalidRecipe(f"no Hadamard matrix of order {block} is known", remedy=remedy)
    return Rotation("hadamard", width, block, seed)


def rotate(x: Float[Tensor, "... n"], rotation: Rotation) -> Float[Tensor, "... order"]:
    """The product [x, 0] R: activations, or a weight along its inputs (W R).

    Args:
        x: n features, n ≤ `rotation.order`; missing ones are zeros, placed as
            `kernels.hadamard.operation` says: behind x, or shared out over the blocks.
        rotation: R.

    Returns:
        In x's dtype; float16 and bfloat16 are computed in float32 and rounded once.
    """
    _check_features(x.shape[-1], rotation)
    if rotation.kind == "random":
        matrix = random_orthogonal(rotation.order, rotation.seed or 0)
        work = torch.promote_types(x.dtype, torch.float32)
        return (x.to(work) @ matrix[: x.shape[-1]].to(x.device, work)).to(x.dtype)
    if rotation.seed is not None:
        x = x * _signs_for(x, rotation, x.shape[-1])
    if rotation.is_full:
        return _full(x, rotation)
    return block_hadamard_transform(x, _matrix_for(x, rotation), rotation.order)


def rotate_and_quantize(
    x: Float[Tensor, "... n"], rotation: Rotation, quantizer: Quantizer
) -> Float[Tensor, "... order"]:
    """Q([x, 0] R): `rotate` and dynamic quantization, in one kernel where one serves.

    Args:
        x: float32, bfloat16 or float16; n features, n ≤ `rotation.order`.
        rotation: a Hadamard matrix in blocks.
        quantizer: what follows.

    Raises:
        InvalidRecipe: the rotation has no blocks, or another width.
    """
    _check_features(x.shape[-1], rotation)
    if rotation.kind != "hadamard" or rotation.is_full:
        raise InvalidRecipe(
            f"{rotation.title} mixes all {rotation.order} features",
            remedy="rotate in blocks, or rotate first and quantize then",
        )
    matrix, flips = _matrix_for(x, rotation), None
    if rotation.seed is not None:
        flips = _held(signs, (rotation, x.shape[-1]), x.device, torch.int8)
    return rotate_blocks_and_quantize(x, matrix, quantizer, order=rotation.order, signs=flips)


def rotate_moment(moment: Float[Tensor, "n n"], rotation: Rotation) -> Float[Tensor, "order order"]:
    """Rᵀ H R: the second moment of rotated samples, symmetric or not (H or G)."""
    return rotate(rotate(moment, rotation).T, rotation).T.contiguous()


def signs(rotation: Rotation, n: int) -> Int[Tensor, " n"]:
    """The ±1 in front of n features, int8; all ones where R has none."""
    if rotation.seed is None or rotation.kind == "random":
        return torch.ones(n, dtype=torch.int8)
    return _random_signs(rotation.seed, rotation.order)[:n]


def slots(rotation: Rotation, n: int) -> Int[Tensor, " n"]:
    """Positions of n features among the `order` of the Hadamard matrix; zeros fill the others."""
    if rotation.is_full:
        return torch.arange(n)
    fuller, least = block_fill(n, rotation.order, rotation.block)
    index, split = torch.arange(n), fuller * (least + 1)
    if least == 0:  # then every feature lies in a fuller block, one in each
        return index * rotation.block
    behind = index - split
    return torch.where(
        index < split,
        index // (least + 1) * rotation.block + index % (least + 1),
        (fuller + behind // least) * rotation.block + behind % least,
    )


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)  # a later caller may need gradients
def random_orthogonal(order: int, seed: int) -> Float[Tensor, "order order"]:
    """A Haar-random orthogonal matrix in float64, the same for the same seed.

    QR of a Gaussian matrix, the columns' signs chosen so that R's diagonal is positive.
    """
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(order, order, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0)


@functools.lru_cache(maxsize=64)
def _random_signs(seed: int, order: int) -> Int[Tensor, " order"]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (order,), generator=generator, dtype=torch.int8) * 2 - 1


def _signs_for(x: Tensor, rotation: Rotation, n: int) -> Tensor:
    return _held(signs, (rotation, n), x.device, x.dtype)


def _full(x: Tensor, rotation: Rotation) -> Tensor:
    """The product [x, 0] H of a full rotation."""
    order = _known(rotation.order)
    inner = _core_for(x, order.core)
    if order.outer == 1:
        return hadamard_transform(x, inner, order.size)
    # (U ⊗ V ⊗ S): V ⊗ S on each of u runs of features, then U across the runs; rounded once.
    work = torch.promote_types(x.dtype, torch.float32)
    outer = _core_for(x.to(work), order.outer)
    runs = torch.nn.functional.pad(x.to(work), (0, order.size - x.shape[-1]))
    runs = runs.unflatten(-1, (order.outer, order.inner))
    runs = hadamard_transform(runs, inner)
    mixed = outer.T @ runs
    return mixed.mul_(order.outer**-0.5).flatten(-2).to(x.dtype)


def _core_for(x: Tensor, order: int) -> Tensor:
    return _held(core, (order,), x.device, x.dtype)


def _matrix_for(x: Tensor, rotation: Rotation) -> Tensor:
    return _held(hadamard_matrix, (rotation.block,), x.device, x.dtype)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # a later caller may need gradients
def _held(
    make: Callable[..., Tensor], given: tuple, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The result of `make(*given)`, copied to a device and a type once and not for every call."""
    return make(*given).to(device, dtype)


def _known(order: int) -> Order:
    found = order_for(order)
    if found is None:
        raise InvalidRecipe(
            f"no Hadamard matrix of order {order} is known",
            remedy=f"choose blocks of {largest_block(order)}, which divide it",
        )
    return found


def _check_width(width: int) -> None:
    if width < 1:
        raise InvalidRecipe(f"{width} features are none to rotate", remedy="give at least 1")


def _check_features(n: int, rotation: Rotation) -> None:
    if n > rotation.order:
        raise InvalidRecipe(
            f"{n} features do not fit a rotation of {rotation.order}",
            remedy="make the rotation for the input's width, or expand it",
        )
