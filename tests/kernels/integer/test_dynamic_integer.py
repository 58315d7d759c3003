from __future__ import annotations

import pytest
import torch

from kernels.integer.operation import fake_quantize_integer

BITS = range(2, 9)


def by_definition(row: list[float], bits: int, symmetric: bool) -> list[float]:
    """One token, number by number, in float32 scalars."""
    x = [torch.tensor(v) for v in row]
    if symmetric:
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        scale, zero = max(v.abs() for v in x) / high, 0.0
    else:
        low, high = 0, (1 << bits) - 1
        bottom, top = min(*x, torch.tensor(0.0)), max(*x, torch.tensor(0.0))
        scale = top / high - bottom / high
        zero = float(round(float(-bottom / scale)))
    codes = [min(max(round(float(v / scale)) + zero, low), high) for v in x]
    return [float(scale * (code - zero)) for code in codes]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_a_token_is_quantized_by_the_stated_formula(bits, symmetric, shift):
    x = torch.randn(6, 33, generator=torch.Generator().manual_seed(bits)) + shift
    found = fake_quantize_integer(x, bits, symmetric=symmetric)
    for row, expected in zip(found, x, strict=True):
        assert row.tolist() == by_definition(expected.tolist(), bits, symmetric)


@pytest.mark.parametrize("bits", BITS)
def test_the_symmetric_scale_never_clips_an_outlier(bits):
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    x[:, 5] *= 50
    found = fake_quantize_integer(x, bits, symmetric=True)
    largest = x.abs().amax(-1)
    step = largest / (2 ** (bits - 1) - 1)
    assert ((found - x).abs().amax(-1) <= step * 0.500001).all()
    torch.testing.assert_close(found.abs().amax(-1), largest, rtol=3e-7, atol=0)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shift", [0.0, 10.0, -10.0])
def test_asymmetric_quantization_keeps_zero_and_errs_by_at_most_a_step(bits, shift):
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(1)) + shift
    x[:, 7] = 0.0
    found = fake_quantize_integer(x, bits, symmetric=False)
    span = x.amax(-1).clamp(min=0) - x.amin(-1).clamp(max=0)
    assert (found[:, 7] == 0).all()
    # Half a step from rounding x, half from rounding the zero point, where it clips at an end.
    assert ((found - x).abs().amax(-1) <= span / (2**bits - 1) * 1.00001).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_grouped_features_are_quantized_as_if_each_group_were_a_token(symmetric):
    x = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(2))
    grouped = fake_quantize_integer(x, 4, symmetric=symmetric, group=16)
    alone = fake_quantize_integer(x.reshape(3, 5, 4, 16), 4, symmetric=symmetric)
    assert torch.equal(grouped, alone.reshape(x.shape))


@pytest.mark.parametrize("symmetric", [True, False])
def test_zero_tokens_stay_zero_and_constant_tokens_stay_constant(symmetric):
    x = torch.tensor([[0.0] * 8, [2.5] * 8, [-2.5] * 8])
    found = fake_quantize_integer(x, 4, symmetric=symmetric)
    torch.testing.assert_close(found, x, rtol=2e-7, atol=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_token_with_nan_or_infinity_is_nan_and_the_others_are_not(symmetric, broken):
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(3))
    clean = fake_quantize_integer(x, 8, symmetric=symmetric)
    x[1, 4] = broken
    found = fake_quantize_integer(x, 8, symmetric=symmetric)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_widest_float32_range_does_not_overflow(symmetric):
    top = torch.finfo(torch.float32).max
    x = torch.tensor([[top, -top, 0.0, top / 3]])
    found = fake_quantize_integer(x / 1.01, 8, symmetric=symmetric)
    assert found.isfinite().all()
    torch.testing.assert_close(found, x / 1.01, rtol=0, atol=top / 100)


@pytest.mark.parametrize("symmetric", [True, False])
def test_numbers_too_small_to_have_a_scale_become_zero(symmetric):
    x = torch.full((1, 4), 1e-45)
    assert fake_quantize_integer(x, 8, symmetric=symmetric).abs().max() <= 1e-45


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("symmetric", [True, False])
def test_half_precision_input_is_worked_in_float32_and_returned_in_its_type(dtype, symmetric):
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(4)).to(dtype)
    found = fake_quantize_integer(x, 8, symmetric=symmetric)
    assert found.dtype == dtype
    assert torch.equal(found, fake_quantize_integer(x.float(), 8, symmetric=symmetric).to(dtype))


def test_the_input_is_left_alone():
    x = torch.randn(2, 32, generator=torch.Generator().manual_seed(5))
    before = x.clone()
    for symmetric in (True, False):
        fake_quantize_integer(x, 4, symmetric=symmetric)
    assert torch.equal(x, before)


def test_empty_and_strided_inputs_are_served():
    assert fake_quantize_integer(torch.empty(0, 8), 8, symmetric=False).shape == (0, 8)
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(6)).T[::2]
    for symmetric in (True, False):
        found = fake_quantize_integer(x, 4, symmetric=symmetric)
        assert torch.equal(found, fake_quantize_integer(x.contiguous(), 4, symmetric=symmetric))


def test_types_and_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"cannot quantize torch\.int64"):
        fake_quantize_integer(torch.zeros(2, 8, dtype=torch.int64), 4, symmetric=True)
    with pytest.raises(ValueError, match="group 3 does not divide 8"):
        fake_quantize_integer(torch.zeros(2, 8), 4, symmetric=True, group=3)
