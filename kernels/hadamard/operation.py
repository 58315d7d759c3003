"""Hadamard transforms of the last axis: the torch reference, which is the truth for fast twins.

    full:   y = [x, 0] (K ⊗ S) / √M       K a v×v core, S = Sylvester's matrix of order M / v
    block:  y = [x, 0] (I ⊗ B) / √b       B a b×b Hadamard matrix, one per run of b features

Vectors are rows and matrices act from the right, so a core that is not symmetric has a direction;
the inverse is the same call with the transposed core. This package stands below everything that
knows how Hadamard matrices are made: the ±1 core is an argument.

*Expansion.* An input narrower than the output is padded with zeros, and the zeros are never
stored: they only shorten a matrix product (`[x, 0] H = x H[:n]`). A full transform has its zeros
behind x. A block transform shares them out, because a block of zeros alone would stay zero and
carry nothing: with n features in m blocks, the first n mod m blocks hold ⌊n/m⌋ + 1 features each,
the others ⌊n/m⌋, and zeros fill every block up to b (`block_fill`).

*Cost.* Butterflies touch memory log₂ M times. On a CPU a matrix product with a factor of 8 to 64 is
faster than the three to six passes it replaces, so S is split into Kronecker factors of at most 64
(`sylvester_factors`): the last one multiplies runs of features from the right, the others and K
act across runs. Tokens are taken a few at a time, so that what lies between two factors stays in
cache. In a full transform the factors are ±1, exact in every dtype, and the scale comes last.

*Precision.* float32 and float64 are computed in their own dtype. bfloat16 and float16 are computed
in float32 and rounded once, at the end.
"""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.dispatch import Implementation, choose, differentiates
from kernels.hadamard.plan import against_blocks, against_full
from kernels.hadamard.sylvester import block_fill, sylvester, sylvester_factors
from qcore.errors import KernelError

WORKING_SET = 1 << 18
"""Features transformed at once on a CPU: what stays in its second-level cache."""

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def hadamard_transform(
    x: Float[Tensor, "... n"],
    core: Tensor,
    order: int | None = None,
    *,
    implementation: Implementation | None = None,
) -> Float[Tensor, "... order"]:
    """Orthonormal Hadamard transform of the last axis, zero-padded up to `order`.

    Args:
        x: any leading shape; n ≤ order.
        core: ±1 matrix K with K Kᵀ = v I; [[1]] for Sylvester's own orders. Moved and cast to
            meet x: free for one that fits already.
        order: v·2^k; n where left out.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Returns:
        [x, 0] (K ⊗ S) / √order, contiguous, in x's dtype.

    Raises:
        KernelError: an order that is not v·2^k or less than n, a core that is not square, or a
            dtype without arithmetic.
    """
    n, v = x.shape[-1], core.shape[0]
    order = n if order is None else order
    _check(x, core, order)
    length = order // v
    if order % v or length & (length - 1):
        raise KernelError(
            f"order {order} is not {v} times a power of two",
            remedy=f"pad to {v}·2^k, or take another core",
        )
    against = _followed(x, core) or against_full(x, v, order)
    choice = choose("Hadamard", x.device, {"triton": against}, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.hadamard.triton import hadamard  # triton is not on every machine

        return hadamard(x, core, order)
    sizes = sylvester_factors(length)
    work = _work_dtype(x.dtype)
    factors = [_factor(size, x.device, work) for size in sizes]
    if v > 1 or not sizes:
        factors.insert(0, core.to(x.device, work))
    rows = x.reshape(math.prod(x.shape[:-1]), n)
    at_once = WORKING_SET // order if x.device.type == "cpu" else len(rows)
    parts = [_transform_rows(part, factors, order) for part in rows.split(max(1, at_once))]
    y = parts[0] if len(parts) == 1 else torch.cat(parts)
    return y.view(*x.shape[:-1], order)


def block_hadamard_transform(
    x: Float[Tensor, "... n"],
    matrix: Tensor,
    order: int | None = None,
    *,
    implementation: Implementation | None = None,
) -> Float[Tensor, "... order"]:
    """Orthonormal Hadamard transform of every block of the last axis.

    Args:
        x: any leading shape; n ≤ order. Zeros are shared out as `block_fill` says.
        matrix: ±1 matrix B with B Bᵀ = b I; moved and cast as a core is.
        order: a multiple of b; n where left out.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Returns:
        The transformed blocks, contiguous, in x's dtype.

    Raises:
        KernelError: a block that does not divide the order, an order less than n, a matrix that is
            not square, or a dtype without arithmetic.
    """
    n, b = x.shape[-1], matrix.shape[0]
    order = n if order is None else order
    _check(x, matrix, order)
    fuller, least = block_fill(n, order, b)
    against = _followed(x, matrix) or against_blocks(x, b)
    choice = choose("block Hadamard", x.device, {"triton": against}, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.hadamard.triton import block_hadamard  # triton is not on every machine

        return block_hadamard(x, matrix, order)
    work = x.to(_work_dtype(x.dtype))
    scaled = matrix.to(x.device, work.dtype) * (1 / math.sqrt(b))
    lead, blocks, split = x.shape[:-1], order // b, fuller * (least + 1)
    if fuller == 0:
        y = work.reshape(*lead, blocks, least) @ scaled[:least]
    else:
        head = work[..., :split].reshape(*lead, fuller, least + 1) @ scaled[: least + 1]
        tail = work[..., split:].reshape(*lead, blocks - fuller, least) @ scaled[:least]
        y = torch.cat((head, tail), -2)
    return y.to(x.dtype).view(*lead, order)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # a later caller may need gradients
def _factor(order: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return sylvester(order).to(device, dtype)


def _transform_rows(
    x: Float[Tensor, "rows n"], factors: list[Tensor], order: int
) -> Float[Tensor, "rows order"]:
    y = _multiply(x.to(factors[0].dtype), factors).reshape(len(x), order)
    return y.mul_(1 / math.sqrt(order)).to(x.dtype)


def _multiply(x: Float[Tensor, "rows n"], factors: list[Tensor]) -> Tensor:
    """[x, 0] (F₁ ⊗ … ⊗ F_p), from the last factor to the first.

    Only rows of F₁ that meet features are used; where the product of the others does not divide n,
    x is copied once to fill its last row.
    """
    first, *others = factors
    lead, n = x.shape
    if not others:
        return x @ first[:n]
    inner = math.prod(len(factor) for factor in others)
    rows = -(-n // inner)
    if n % inner:
        x = torch.nn.functional.pad(x, (0, rows * inner - n))
    *middle, last = others
    y, width = x.reshape(lead * rows * inner // len(last), len(last)) @ last, len(last)
    for factor in reversed(middle):
        y = factor.mT @ y.view(y.numel() // (len(factor) * width), len(factor), width)
        width *= len(factor)
    return first[:rows].mT @ y.view(lead, rows, inner)


def _check(x: Tensor, matrix: Tensor, order: int) -> None:
    if x.dtype not in DTYPES:
        raise KernelError(
            f"cannot transform {x.dtype}", remedy=f"pass {', '.join(map(str, DTYPES))}"
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise KernelError(
            f"a core of shape {tuple(matrix.shape)} is not square", remedy="pass a Hadamard matrix"
        )
    if x.shape[-1] > order:
        raise KernelError(
            f"{x.shape[-1]} features do not fit in order {order}", remedy="raise the order"
        )


def _followed(*tensors: Tensor) -> str | None:
    return "autograd follows it" if differentiates(*tensors) else None


def _work_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
