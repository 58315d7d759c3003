"""Sylvester's Hadamard matrices, and how features fill the blocks of an expanded input."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from qcore.errors import KernelError


def block_fill(n: int, order: int, block: int) -> tuple[int, int]:
    """Share n features out over the order/block blocks of an expanded input.

    Returns:
        (fuller, least): the first `fuller` blocks hold `least + 1` features, the others `least`;
        zeros stand behind them in every block.

    Raises:
        KernelError: the block does not divide the order, or the features do not fit.
    """
    if block < 1 or order % block:
        raise KernelError(
            f"block {block} does not divide {order}", remedy="choose a block that does"
        )
    if not 0 <= n <= order:
        raise KernelError(f"{n} features do not fit in {order}", remedy="raise the order")
    least, fuller = divmod(n, order // block)
    return fuller, least


@functools.cache
def sylvester(order: int) -> Tensor:
    """Sylvester's ±1 matrix of a power-of-two order, int8. Shared: do not write to it.

    Raises:
        KernelError: not a power of two.
    """
    if order < 1 or order & (order - 1):
        raise KernelError(f"{order} is not a power of two", remedy="choose 1, 2, 4, 8 and so on")
    if order == 1:
        return torch.ones(1, 1, dtype=torch.int8)
    half = sylvester(order // 2)
    return torch.cat((torch.cat((half, half), 1), torch.cat((half, -half), 1)))


def sylvester_factors(order: int) -> list[int]:
    """Powers of two whose product is `order`, as even as they can be, rising, none above 64.

    The order 1 has no factors. Six bits make one factor, otherwise five bits are the most.
    """
    log2 = order.bit_length() - 1
    count = 1 if log2 == 6 else -(-log2 // 5)
    return [1 << (log2 + i) // count for i in range(count)]
