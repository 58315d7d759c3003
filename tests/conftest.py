"""What must stand before any test module is imported."""

from __future__ import annotations

import os

import torch

# Triton reads this once, when it is first imported (transformers imports it, too). Without a GPU
# its kernels then run on the CPU, which is how the suite compares them with their references.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
