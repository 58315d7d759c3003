"""The triton twins of dynamic rounding against their references: every bit."""

from __future__ import annotations

import pytest
import torch

from kernels.elements.values import E2M1, E2M3, E3M2, E4M3, E5M2, MXINT8
from kernels.integer.operation import fake_quantize_integer
from kernels.microscaling.operation import fake_quantize_microscaling, quantize_microscaling
from tests.kernels.helpers_twins import DEVICE, DTYPES, awkward, same_bits, same_values

ELEMENTS = [E2M1, E2M3, E3M2, E4M3, E5M2, MXINT8]
LARGE = [(257, 14336)] if DEVICE.type == "cuda" else []


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", ["floor", "midmax"])
def test_microscaling_codes_scales_and_values_are_the_references(dtype, element, rule):
    for shape in [(7, 96), *LARGE]:
        x = awkward(*shape, dtype)
        x[4, 3], x[5, 40], x[6, 95] = torch.nan, torch.inf, -torch.inf
        expected = fake_quantize_microscaling(x, element, rule=rule, implementation="torch")
        found = fake_quantize_microscaling(
            x.to(DEVICE), element, rule=rule, implementation="triton"
        )
        assert same_bits(found, expected)
        codes, shared = quantize_microscaling(x, element, rule=rule, implementation="torch")
        twins = quantize_microscaling(x.to(DEVICE), element, rule=rule, implementation="triton")
        assert twins[0].dtype == codes.dtype
        assert torch.equal(twins[0].cpu(), codes)
        assert torch.equal(twins[1].cpu(), shared)


@pytest.mark.parametrize("rule", ["floor", "midmax"])
@pytest.mark.parametrize("element", [E2M1, E5M2, MXINT8], ids=str)
def test_microscaling_agrees_on_every_bfloat16(element, rule):
    """Each 16-bit pattern stands in a block with its neighbours; all of them are rounded."""
    x = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = x.view(-1, 32)
    expected = fake_quantize_microscaling(x, element, rule=rule, implementation="torch")
    found = fake_quantize_microscaling(x.to(DEVICE), element, rule=rule, implementation="triton")
    assert same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_symmetric_integers_are_the_references(dtype, bits):
    for shape, group in [
        ((7, 96), None),
        ((7, 96), 32),
        ((7, 96), 24),
        *((s, None) for s in LARGE),
    ]:
        x = awkward(*shape, dtype)
        x[4, 3], x[5, 40], x[6, 95] = torch.nan, torch.inf, -torch.inf
        expected = fake_quantize_integer(
            x, bits, symmetric=True, group=group, implementation="torch"
        )
        found = fake_quantize_integer(
            x.to(DEVICE), bits, symmetric=True, group=group, implementation="triton"
        )
        assert same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_asymmetric_integers_are_the_references(dtype, bits):
    """But for the sign of a zero at the end of the range, which a clamp may keep or drop."""
    for shape, group in [
        ((7, 96), None),
        ((7, 96), 32),
        ((7, 96), 24),
        *((s, None) for s in LARGE),
    ]:
        x = awkward(*shape, dtype)
        x[4, 3], x[5, 40], x[6, 95] = torch.nan, torch.inf, -torch.inf
        x[3] = x[3].abs()  # a range from 0 upwards
        expected = fake_quantize_integer(
            x, bits, symmetric=False, group=group, implementation="torch"
        )
        found = fake_quantize_integer(
            x.to(DEVICE), bits, symmetric=False, group=group, implementation="triton"
        )
        assert same_values(found, expected)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_row_too_wide_for_registers_is_read_twice(symmetric):
    from kernels.integer.triton import WIDEST

    x = awkward(4, WIDEST + 24, torch.bfloat16)
    x[0, -1] = -3.0  # the extreme lies in the last chunk
    x[1, -1] = torch.nan
    expected = fake_quantize_integer(x, 4, symmetric=symmetric, implementation="torch")
    found = fake_quantize_integer(x.to(DEVICE), 4, symmetric=symmetric, implementation="triton")
    assert same_values(found, expected)


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_any_leading_shape_strides_and_no_tokens_at_all(implementation):
    x = awkward(24, 64, torch.bfloat16).to(DEVICE)
    for given in (x.view(2, 3, 4, 64), x.view(24, 64).T.contiguous().T, x[::2], x[0], x[:0]):
        flat = given.reshape(-1, 64).contiguous()
        mx = fake_quantize_microscaling(given, E2M1, implementation=implementation)
        assert same_bits(
            mx,
            fake_quantize_microscaling(flat, E2M1, implementation=implementation).view(given.shape),
        )
        codes, shared = quantize_microscaling(given, E2M1, implementation=implementation)
        assert codes.shape == given.shape
        assert shared.shape == (*given.shape[:-1], 2)
        integers = fake_quantize_integer(given, 4, symmetric=False, implementation=implementation)
        expected = fake_quantize_integer(
            flat, 4, symmetric=False, implementation=implementation
        ).view(given.shape)
        assert same_values(integers, expected)


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_no_features_are_none_afterwards(implementation):
    x = torch.empty(3, 0, device=DEVICE)
    assert fake_quantize_microscaling(x, E2M1, implementation=implementation).shape == (3, 0)
    assert fake_quantize_integer(x, 4, symmetric=True, implementation=implementation).shape == (
        3,
        0,
    )
    assert fake_quantize_integer(x, 4, symmetric=False, implementation=implementation).shape == (
        3,
        0,
    )


@pytest.mark.gpu
def test_elements_beyond_the_reach_of_32_bits_are_rounded():
    width = 8192
    x = torch.empty(2**31 // width + 3, width, dtype=torch.bfloat16, device=DEVICE)
    x[-2:] = torch.randn(2, width, device=DEVICE)
    for quantize in (
        lambda x: fake_quantize_integer(x, 4, symmetric=False, implementation="triton"),
        lambda x: fake_quantize_microscaling(x, E2M1, implementation="triton"),
    ):
        assert same_values(quantize(x)[-2:], quantize(x[-2:].clone()))
