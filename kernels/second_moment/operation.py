"""Adding Xᵀ X of some tokens to a second moment, on and above the diagonal only.

H is symmetric, so that half of the products would say nothing new. The reference multiplies row
panels in float32: each panel of rows meets the columns from its own on. Inputs of 16 bits are exact
in float32, and so are their products; the triton twin multiplies them on the tensor cores as they
are, and sums in float32. Float32 inputs stay with torch on every device: cuBLAS has no equal there.

What lies below the diagonal is scratch: a panel or a tile on the diagonal may write there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.checks import require_together
from kernels.dispatch import Implementation, choose
from qcore.errors import KernelError

PANELS = 4
"""Row panels of H; measured at widths 576 and 1536: 0.65 of the time of the whole product."""


def add_second_moment(
    total: Float[Tensor, "width width"],
    x: Float[Tensor, "tokens width"],
    *,
    implementation: Implementation | None = None,
) -> None:
    """Add xᵀx to `total` in place; read its upper triangle only.

    Args:
        total: float32.
        x: any float type.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: shapes that do not meet, another type, or tensors on different devices.
    """
    require_together(total=total, x=x)
    width = x.shape[-1]
    if x.dim() != 2 or total.shape != (width, width) or total.dtype != torch.float32:
        raise KernelError(
            f"{tuple(x.shape)} tokens do not add to a {total.dtype} of {tuple(total.shape)}",
            remedy=f"pass [tokens, width] and a float32 of [{width}, {width}]",
        )
    wide = None if x.dtype in (torch.bfloat16, torch.float16) else f"{x.dtype} is not of 16 bits"
    choice = choose("second moment", x.device, {"triton": wide}, implementation=implementation)
    if choice.implementation == "triton":
        from kernels.second_moment.triton import (
            add_second_moment as add_second_moment_triton,  # triton is not on every machine
        )

        return add_second_moment_triton(total, x.detach())
    x = x.detach().float()
    step = max(1, -(-width // PANELS))
    for first in range(0, width, step):
        rows = slice(first, first + step)
        total[rows, first:].addmm_(x[:, rows].T, x[:, first:])
