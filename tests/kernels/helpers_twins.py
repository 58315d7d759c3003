"""What the tests of all triton twins share: where they run, and when two results are the same."""

from __future__ import annotations

import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Without a GPU the twins run in triton's interpreter, see tests/conftest.py."""

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def same_bits(found: Tensor, expected: Tensor) -> bool:
    """Equal bit for bit, signs of zeros included; any NaN equals any NaN."""
    found, expected = found.cpu(), expected.cpu()
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    integer = {4: torch.int32, 2: torch.int16}[found.element_size()]
    broken = expected.isnan()
    same = (found.view(integer) == expected.view(integer)) | (broken & found.isnan())
    return bool(same.all())


def awkward(rows: int, width: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Rows of many magnitudes, with zeros of both signs, a row of zeros, subnormals and giants."""
    generator = torch.Generator().manual_seed(seed + 1000 * rows + width)
    x = torch.randn(rows, width, generator=generator)
    x = x * torch.exp2(torch.randint(-12, 12, (rows, 1), generator=generator).float())
    x[0] = 0.0
    x[1 % rows, ::3] = -0.0
    x[2 % rows] *= torch.finfo(dtype).smallest_normal
    x[3 % rows] = torch.where(x[3 % rows] > 0, torch.finfo(dtype).max, -torch.finfo(dtype).max)
    return x.to(dtype)


def same_values(found: Tensor, expected: Tensor) -> bool:
    """Equal, zeros of either sign and any NaN alike."""
    found, expected = found.cpu(), expected.cpu()
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool(((found == expected) | (found.isnan() & expected.isnan())).all())


def error(found: Tensor, exact: Tensor) -> float:
    """Relative error in the Euclidean norm, in double."""
    return float((found.cpu().double() - exact).norm() / exact.norm())
