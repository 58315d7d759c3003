"""Which implementation of an operation serves a device."""

from __future__ import annotations

from typing import Literal

import torch

Path = Literal["compiled", "torch"]


def path_for(device: torch.device) -> Path:
    """The compiled twin on the CPU, torch elsewhere; for operations that have such a twin."""
    return "compiled" if device.type == "cpu" else "torch"
