"""The torch reference of the Hadamard transforms against dense matrices."""

import math

import pytest
import torch
from scipy.linalg import hadamard

from kernels.hadamard import operation
from kernels.hadamard.operation import block_hadamard_transform, hadamard_transform
from kernels.hadamard.sylvester import block_fill, sylvester, sylvester_factors

PALEY_12 = torch.tensor(
    [[1] * 12]
    + [
        [-1] + [1 if a == b or (b - a) % 11 in (1, 3, 4, 5, 9) else -1 for b in range(11)]
        for a in range(11)
    ],
    dtype=torch.int8,
)
"""Paley's matrix of order 12, written out: not symmetric, so a wrong direction shows."""

ONE = torch.ones(1, 1, dtype=torch.int8)


def dense(core, order):
    """The orthonormal matrix in float64 that a full transform multiplies by."""
    return torch.kron(core, sylvester(order // len(core))).double() / math.sqrt(order)


def samples(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)).to(dtype)


@pytest.mark.parametrize("log2", range(8))
def test_sylvester_is_the_textbook_matrix(log2):
    expected = torch.from_numpy(hadamard(1 << log2)).to(torch.int8)

    assert torch.equal(sylvester(1 << log2), expected)


@pytest.mark.parametrize("log2", range(18))
def test_factors_multiply_to_the_order_and_stay_small(log2):
    factors = sylvester_factors(1 << log2)

    assert math.prod(factors) == 1 << log2
    assert all(2 <= factor <= 64 for factor in factors)


@pytest.mark.parametrize("order", [1, 2, 8, 64, 128, 512, 2048])
def test_full_transform_is_the_product_with_sylvesters_matrix(order):
    x = samples(3, order)

    torch.testing.assert_close(
        hadamard_transform(x, ONE), x @ dense(ONE, order), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("order", [12, 24, 192, 1536])
def test_full_transform_with_a_core_multiplies_from_the_right(order):
    x = samples(2, 3, order)

    assert not torch.equal(PALEY_12, PALEY_12.T)
    torch.testing.assert_close(
        hadamard_transform(x, PALEY_12), x @ dense(PALEY_12, order), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("order", [12, 96, 1536])
def test_transposed_core_undoes_the_transform(order):
    x = samples(5, order)

    back = hadamard_transform(hadamard_transform(x, PALEY_12), PALEY_12.T)

    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("core", "n", "order"),
    [
        (PALEY_12, 0, 24),
        (PALEY_12, 1, 12),
        (PALEY_12, 40, 96),
        (PALEY_12, 41, 96),
        (PALEY_12, 576, 1536),
        (ONE, 3, 4),
        (ONE, 100, 128),
        (ONE, 1500, 2048),
    ],
)
def test_full_transform_of_fewer_features_is_that_of_zeros_behind_them(core, n, order):
    x = samples(4, n)
    padded = torch.cat((x, x.new_zeros(4, order - n)), -1)

    y = hadamard_transform(x, core, order)

    torch.testing.assert_close(y, padded @ dense(core, order), rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 2, 16, 32, 12])
def test_block_transform_is_the_product_with_a_block_diagonal(block):
    matrix = PALEY_12 if block == 12 else sylvester(block)
    x = samples(2, 3, 96)
    whole = torch.block_diag(*[matrix.double()] * (96 // block)) / math.sqrt(block)

    torch.testing.assert_close(block_hadamard_transform(x, matrix), x @ whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [0, 3, 6, 20, 48, 70, 95, 96])
def test_block_transform_shares_the_zeros_over_the_blocks(n):
    x = samples(3, n)
    fuller, least = block_fill(n, 96, 16)
    parts = x.split([least + 1] * fuller + [least] * (6 - fuller), -1)
    padded = torch.cat([torch.nn.functional.pad(p, (0, 16 - p.shape[-1])) for p in parts], -1)
    whole = torch.block_diag(*[sylvester(16).double()] * 6) / 4

    y = block_hadamard_transform(x, sylvester(16), 96)

    torch.testing.assert_close(y, padded @ whole, rtol=0, atol=1e-12)


def test_block_fill_differs_by_at_most_one_and_loses_nothing():
    for n in range(65):
        fuller, least = block_fill(n, 64, 8)

        assert fuller * (least + 1) + (8 - fuller) * least == n
        assert 0 <= fuller < 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once_from_float32(dtype):
    x = samples(6, 1536, dtype=dtype)

    full = hadamard_transform(x, PALEY_12)
    block = block_hadamard_transform(x, sylvester(32))

    assert full.dtype == block.dtype == dtype
    assert torch.equal(full, hadamard_transform(x.float(), PALEY_12).to(dtype))
    assert torch.equal(block, block_hadamard_transform(x.float(), sylvester(32)).to(dtype))


def test_float32_keeps_six_digits_at_order_1536():
    x = samples(16, 1536)

    y = hadamard_transform(x.float(), PALEY_12)

    error = (y - x.float().double() @ dense(PALEY_12, 1536)).norm() / x.norm()
    assert error < 1e-6


def test_tokens_taken_a_few_at_a_time_give_the_same(monkeypatch):
    x = samples(37, 96)
    whole = hadamard_transform(x, PALEY_12)

    monkeypatch.setattr(operation, "WORKING_SET", 500)

    torch.testing.assert_close(hadamard_transform(x, PALEY_12), whole, rtol=0, atol=1e-13)


def test_strided_input_is_read_as_it_stands():
    x = samples(96, 5).T

    assert not x.is_contiguous()
    torch.testing.assert_close(
        hadamard_transform(x, PALEY_12), hadamard_transform(x.contiguous(), PALEY_12)
    )
    torch.testing.assert_close(
        block_hadamard_transform(x, sylvester(32)),
        block_hadamard_transform(x.contiguous(), sylvester(32)),
    )


def test_no_tokens_give_no_tokens():
    x = torch.empty(2, 0, 1536)

    assert hadamard_transform(x, PALEY_12).shape == (2, 0, 1536)
    assert block_hadamard_transform(x, sylvester(32)).shape == (2, 0, 1536)


def test_input_is_left_alone_and_gradients_flow_back_through_the_transpose():
    x = samples(2, 48).requires_grad_()
    before = x.detach().clone()
    g = samples(2, 96)

    hadamard_transform(x, PALEY_12, 96).backward(g)

    assert torch.equal(x.detach(), before)
    torch.testing.assert_close(x.grad, (g @ dense(PALEY_12, 96).T)[:, :48], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hadamard_transform(torch.ones(36), PALEY_12), "not 12 times a power of two"),
        (lambda: hadamard_transform(torch.ones(36), PALEY_12, 24), "do not fit"),
        (lambda: hadamard_transform(torch.ones(12).int(), PALEY_12), "int32"),
        (lambda: hadamard_transform(torch.ones(12), PALEY_12[:3]), "not square"),
        (lambda: block_hadamard_transform(torch.ones(40), sylvester(16)), "16 does not divide 40"),
        (lambda: sylvester(12), "12 is not a power of two"),
    ],
)
def test_what_cannot_be_transformed_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
