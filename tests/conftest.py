"""What must stand before any test module is imported."""

from __future__ import annotations

import os

import pytest
import torch

# Triton reads this once, when it is first imported (transformers imports it, too). Without a GPU
# its kernels then run on the CPU, which is how the suite compares them with their references.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    absent = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(absent)
