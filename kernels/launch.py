"""Launching triton kernels: on the device where the tensors are, and not at all for no work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def launch(kernel: Any, grid: tuple[int, ...], where: Tensor, /, *arguments: Any, **options: Any):
    """Run `kernel` as a grid of programs.

    Args:
        kernel: a triton kernel; its launcher is made at run time and has no signature.
        grid: programs along each axis; with a zero nothing runs.
        where: a tensor on the device to run on: triton itself takes the current one.
        arguments: the kernel's.
        options: its compile-time arguments and options of the compiler.
    """
    if all(grid):
        with torch.cuda.device_of(where):
            kernel[grid](*arguments, **options)
