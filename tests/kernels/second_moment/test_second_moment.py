"""Xᵀ X on and above the diagonal: the panels, and their triton twin."""

from __future__ import annotations

import pytest
import torch

from kernels.second_moment.operation import add_second_moment
from qcore.errors import KernelError
from tests.kernels.helpers_twins import DEVICE, error

SHAPES = [(1, 1), (70, 100), (130, 40)] + ([(5000, 2304)] if DEVICE.type == "cuda" else [])


def example(tokens: int, width: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(tokens)
    x = torch.randn(tokens, width, generator=generator).to(dtype)
    before = torch.randn(width, width, generator=generator)
    return x, before, (before.double() + x.double().T @ x.double()).triu()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_upper_triangle_gains_the_products(dtype):
    x, total, exact = example(70, 33, dtype)
    add_second_moment(total, x, implementation="torch")
    assert error(total.triu(), exact) < 3e-7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_twin_is_as_exact_as_the_panels(shape, dtype):
    x, total, exact = example(*shape, dtype)
    by_torch, found = total.clone(), total.to(DEVICE)
    add_second_moment(by_torch, x, implementation="torch")
    add_second_moment(found, x.to(DEVICE), implementation="triton")
    assert error(found.cpu().triu(), exact) < 2 * error(by_torch.triu(), exact) + 1e-9


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_strides_and_no_tokens(implementation):
    x, total, exact = example(20, 24, torch.bfloat16)
    strided, total = x.T.contiguous().T.to(DEVICE), total.to(DEVICE)
    add_second_moment(total, strided, implementation=implementation)
    add_second_moment(total, strided[:0], implementation=implementation)
    assert error(total.cpu().triu(), exact) < 3e-7


def test_broken_tokens_are_seen_in_the_sums():
    x, total, _ = example(20, 24, torch.bfloat16)
    x[3, 5] = torch.nan
    for implementation in ("torch", "triton"):
        found = total.clone().to(DEVICE)
        add_second_moment(found, x.to(DEVICE), implementation=implementation)
        assert found.cpu()[:6, 5].isnan().all()
        assert found.cpu()[6, 6:].isfinite().all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(KernelError, match=r"\(3, 4\) tokens do not add to a torch.float32 of"):
        add_second_moment(torch.zeros(3, 3), torch.zeros(3, 4))
    with pytest.raises(KernelError, match=r"do not add to a torch\.float64"):
        add_second_moment(torch.zeros(4, 4).double(), torch.zeros(3, 4))
    with pytest.raises(KernelError, match="x is on meta, total on cpu"):
        add_second_moment(torch.zeros(4, 4), torch.zeros(3, 4, device="meta"))
    single, total = torch.zeros(3, 4, device=DEVICE), torch.zeros(4, 4, device=DEVICE)
    with pytest.raises(KernelError, match=r"torch\.float32 is not of 16 bits"):
        add_second_moment(total, single, implementation="triton")
