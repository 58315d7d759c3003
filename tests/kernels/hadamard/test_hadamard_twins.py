"""The triton twins of the Hadamard transforms against their references, by the 2× rule."""

from __future__ import annotations

import pytest
import torch

from kernels.hadamard.operation import block_hadamard_transform, hadamard_transform
from kernels.hadamard.plan import against_full, factors
from qcore.errors import KernelError
from qcore.transforms.cores import core
from qcore.transforms.hadamard import hadamard_matrix, order_for
from tests.kernels.helpers_twins import DEVICE, DTYPES, error, same_values

TINY = 1e-9
GPU = DEVICE.type == "cuda"
BLOCKS = [(16, 48, 48), (32, 70, 128), (64, 64, 64), (12, 50, 60), (2, 5, 6), (128, 200, 256)]
BLOCKS += [(256, 14336, 14336), (64, 8192, 10240)] if GPU else [(256, 256, 256)]
ORDERS = [(16, 16), (128, 128), (50, 64), (512, 512), (192, 192), (500, 576), (4096, 4096)]
ORDERS += [(8192, 10240), (14336, 14336), (11008, 11008), (8192, 8192)] if GPU else []


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(shape[-1]))


def kernel_of(order: int) -> torch.Tensor:
    found = order_for(order)
    assert found is not None
    return core(found.core)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("block", "n", "order"), BLOCKS)
def test_blocks_are_transformed_as_exactly_as_by_torch(block, n, order, dtype):
    x, matrix = normal(3, 5, n).to(dtype), hadamard_matrix(block)
    if dtype == torch.float32 and block > 64:
        pytest.skip("torch serves large float32 blocks")
    exact = block_hadamard_transform(x.double(), matrix, order)
    by_torch = block_hadamard_transform(x, matrix, order, implementation="torch")
    found = block_hadamard_transform(x.to(DEVICE), matrix, order, implementation="triton")
    assert found.dtype == dtype
    assert found.shape == by_torch.shape
    assert error(found, exact) < 2 * error(by_torch, exact) + TINY


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "order"), ORDERS)
def test_whole_vectors_are_transformed_as_exactly_as_by_torch(n, order, dtype):
    x, matrix = normal(3, n).to(dtype), kernel_of(order)
    if against_full(x, len(matrix), order):
        pytest.skip("torch serves it")
    exact = hadamard_transform(x.double(), matrix, order)
    by_torch = hadamard_transform(x, matrix, order, implementation="torch")
    found = hadamard_transform(x.to(DEVICE), matrix, order, implementation="triton")
    assert found.dtype == dtype
    assert error(found, exact) < 2 * error(by_torch, exact) + TINY


def test_a_core_that_is_not_symmetric_keeps_its_direction():
    identity, matrix = torch.eye(192)[::8], kernel_of(192)
    matrix = matrix[torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    x = identity.bfloat16()
    there = hadamard_transform(x.to(DEVICE), matrix, implementation="triton").cpu()
    assert same_values(there, hadamard_transform(x, matrix, implementation="torch"))
    back = hadamard_transform(there.to(DEVICE), matrix.T, implementation="triton").cpu()
    assert (back.float() - identity).abs().max() < 0.02


def test_whole_numbers_come_out_exactly():
    """Sums of small whole numbers have no rounding, in whatever order they are taken."""
    x = torch.randint(-8, 9, (3, 64), generator=torch.Generator().manual_seed(1)).float()
    for dtype in DTYPES:
        given = x.to(dtype)
        expected = block_hadamard_transform(given, hadamard_matrix(16), implementation="torch")
        found = block_hadamard_transform(
            given.to(DEVICE), hadamard_matrix(16), implementation="triton"
        )
        assert same_values(found, expected)
        expected = hadamard_transform(given, kernel_of(64), implementation="torch")
        assert same_values(
            hadamard_transform(given.to(DEVICE), kernel_of(64), implementation="triton"), expected
        )


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_strides_single_tokens_and_no_tokens(implementation):
    x = normal(6, 64).bfloat16().to(DEVICE)
    wide = torch.stack((x, x), 1)  # (6, 2, 64): x at a stride of 128
    expected = block_hadamard_transform(x, hadamard_matrix(32))
    whole = hadamard_transform(x, kernel_of(64))
    for given, rows in ((wide[:, 0], slice(None)), (x.T.contiguous().T, slice(None)), (x[2], 2)):
        found = block_hadamard_transform(given, hadamard_matrix(32), implementation=implementation)
        assert same_values(found, expected[rows])
        assert same_values(
            hadamard_transform(given, kernel_of(64), implementation=implementation), whole[rows]
        )
    assert block_hadamard_transform(
        x[:0], hadamard_matrix(32), 96, implementation=implementation
    ).shape == (0, 96)
    assert hadamard_transform(x[:0], kernel_of(64), 128, implementation=implementation).shape == (
        0,
        128,
    )


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_a_broken_feature_breaks_its_block_and_no_other(implementation, poison):
    x = normal(2, 96).bfloat16()
    x[0, 40] = poison
    y = block_hadamard_transform(
        x.to(DEVICE), hadamard_matrix(32), implementation=implementation
    ).cpu()
    assert not y[0, 32:64].isfinite().any()
    y[0, 32:64] = 0
    assert y.isfinite().all()
    assert (
        not hadamard_transform(x[:1, :64].to(DEVICE), kernel_of(64), implementation=implementation)
        .isfinite()
        .any()
    )


def test_rows_beyond_the_reach_of_32_bits_are_found():
    """Rows 2³⁰ elements apart: their memory is asked for, but only what is touched is taken."""
    apart = 1 << 30
    storage = torch.empty(2 * apart + 64, dtype=torch.bfloat16, device=DEVICE)
    x = storage.as_strided((3, 64), (apart, 1))
    x.copy_(normal(3, 64))
    near = x.clone()
    for transform in (
        lambda x: block_hadamard_transform(x, hadamard_matrix(32), implementation="triton"),
        lambda x: hadamard_transform(x, kernel_of(64), implementation="triton"),
    ):
        assert same_values(transform(x), transform(near))


def test_what_does_not_fit_is_left_to_torch():
    wide = torch.ones(1, 512, device=DEVICE).bfloat16()
    learned = torch.ones(1, 64, device=DEVICE, requires_grad=True)
    with pytest.raises(KernelError, match="bfloat16 blocks of 512 exceed 256"):
        block_hadamard_transform(wide, hadamard_matrix(512), implementation="triton")
    with pytest.raises(KernelError, match="float64 has no twin"):
        hadamard_transform(
            torch.ones(1, 64, device=DEVICE).double(), kernel_of(64), implementation="triton"
        )
    with pytest.raises(KernelError, match=r"12 is 12·1, with no power of two from 16 on"):
        hadamard_transform(torch.ones(1, 12, device=DEVICE), kernel_of(12), implementation="triton")
    with pytest.raises(KernelError, match="autograd follows it"):
        hadamard_transform(learned, kernel_of(64), implementation="triton")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_factors_multiply_to_the_order_and_fill_a_product(dtype):
    for bits in range(4, 16):
        assert torch.tensor(factors(1, 1 << bits, dtype)).prod() == 1 << bits
        sizes = factors(20, 1 << bits, dtype)
        assert sizes is not None
        assert sizes[0] == 32
        assert sizes[1] * sizes[2] == 1 << bits
        assert all(size == 1 or size >= 16 for size in sizes)
