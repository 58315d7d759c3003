"""Block Hadamard and dynamic quantization in one call: what an online rotation is followed by.

The reference is the composition of `block_hadamard_transform` and `fake_quantize_integer` or
`fake_quantize_microscaling`, with random signs in front where the rotation has them:

    y = Q([x · signs, 0] (I ⊗ B) / √b)

The transformed features are rounded to x's own type before they are quantized, as two calls would
leave them. The triton twin keeps them in registers: each feature is read once and written once
where the composition reads and writes it two or three times, and the zeros of an expanded input are
made in the load. Elsewhere, and where the twin does not fit, the composition runs, each part by its
own choice. There is no compiled twin: on a CPU what lies between the two parts stays in the caches,
and a pass over few tokens at a time is no faster (`benchmarks/rotate_quantize.py`).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kernels.checks import require_quantizable
from kernels.dispatch import Implementation, Twin, choose, differentiates
from kernels.hadamard.operation import block_hadamard_transform
from kernels.hadamard.plan import LEAST, against_blocks, tile_blocks
from kernels.hadamard.sylvester import block_fill
from kernels.rotate_quantize.values import Quantizer, padded_blocks, tile_rows
from kernels.tiles import power_of_two
from qcore.errors import KernelError

APART = "on a CPU one pass for both does not pay"
"""Why the two operations run one after the other there."""

MOST = 1 << 14
"""Padded features of a token that share one scale in the twin."""


def rotate_and_quantize(
    x: Float[Tensor, "... n"],
    matrix: Float[Tensor, "b b"],
    quantizer: Quantizer,
    *,
    order: int | None = None,
    signs: Float[Tensor, " n"] | None = None,
    implementation: Implementation | None = None,
) -> Float[Tensor, "... order"]:
    """Rotate `x` in blocks and quantize it: the module's y, in x's dtype.

    Args:
        x: float32, bfloat16 or float16; any leading shape; n ≤ order.
        matrix: ±1 matrix B with B Bᵀ = b I.
        quantizer: what follows.
        order: a multiple of b; n where left out. Zeros are shared out as `block_fill` says.
        signs: ±1 in front of the features.
        implementation: triton, or the composition (torch); None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: as the two operations, or signs that are not one for each feature.
    """
    require_quantizable(x)
    n, order = x.shape[-1], x.shape[-1] if order is None else order
    block_fill(n, order, matrix.shape[0])
    if signs is not None and signs.shape != (n,):
        raise KernelError(
            f"{tuple(signs.shape)} signs do not match {n} features", remedy="pass one for each"
        )
    if quantizer.group and order % quantizer.group:
        raise KernelError(
            f"group {quantizer.group} does not divide {order}", remedy="choose one that does"
        )
    against = _against(x, matrix, quantizer, order, signs)
    twins: dict[Twin, str | None] = {"compiled": APART, "triton": against}
    choice = choose("rotation with rounding", x.device, twins, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.rotate_quantize.triton import (
            rotate_and_quantize as rotate_and_quantize_triton,  # triton is not on every machine
        )

        return rotate_and_quantize_triton(x, matrix, quantizer, order, signs)
    if signs is not None:
        x = x * signs.to(x)
    return quantizer.apply(block_hadamard_transform(x, matrix, order))


def _against(
    x: Tensor, matrix: Tensor, quantizer: Quantizer, order: int, signs: Tensor | None
) -> str | None:
    """The reason why the twin cannot run, or None."""
    if differentiates(x, matrix, signs):
        return "autograd follows it"
    block, group = matrix.shape[0], quantizer.group
    if group is None:
        padded = padded_blocks(order // block) * power_of_two(max(LEAST, block))
        if padded > MOST:
            return f"{padded} padded features share a scale, more than {MOST}"
    elif block < LEAST or block != power_of_two(block) or group != power_of_two(group):
        return f"groups of {group} do not line up with blocks of {block}"
    elif group > tile_blocks(block) * block:
        return f"groups of {group} exceed a tile of {tile_blocks(block) * block} features"
    return against_blocks(x, block, tile_rows(block, order, group))
