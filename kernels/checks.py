"""Checks of arguments: a type that can be rounded, one device for all tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from qcore.errors import KernelError

QUANTIZABLE = (torch.float32, torch.bfloat16, torch.float16)
"""What can be quantized; arithmetic is float32 for all three."""


def require_quantizable(x: Tensor) -> None:
    """Refuse a tensor that is no 32- or 16-bit float.

    Raises:
        KernelError: it is not.
    """
    if x.dtype not in QUANTIZABLE:
        raise KernelError(f"cannot quantize {x.dtype}", remedy="pass float32, bfloat16 or float16")


def require_together(**tensors: Tensor | None) -> None:
    """Refuse tensors on different devices; the first one decides.

    Raises:
        KernelError: they are apart.
    """
    (first, where), *others = (
        (name, tensor.device) for name, tensor in tensors.items() if tensor is not None
    )
    for name, device in others:
        if device != where:
            raise KernelError(
                f"{name} is on {device}, {first} on {where}", remedy="move them to one device"
            )
