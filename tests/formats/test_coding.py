from __future__ import annotations

import pytest
import torch

from qcore.errors import InvalidRecipe, NumericalError
from qcore.formats.coding import (
    dequantize,
    element_of,
    fake_quantize,
    grid,
    require_finite,
    round_to_nearest,
)
from qcore.formats.format import FORMATS, named
from qcore.formats.quantized import Quantized, Scales

EVERY = list(FORMATS)
SYMMETRIC_INT = [f"int{bits}" for bits in range(2, 9)]
ASYMMETRIC_INT = [f"int{bits}_asym" for bits in range(2, 9)]
MX = [name for name in FORMATS if name.startswith("mx")]


def scales_for(fmt, out: int, width: int, seed: int = 0) -> Scales:
    generator = torch.Generator().manual_seed(seed)
    shape = (out, fmt.groups(width))
    if fmt.kind == "mx":
        return Scales(torch.exp2(torch.randint(-4, 3, shape, generator=generator).float()))
    scale = torch.rand(shape, generator=generator) + 0.1
    if fmt.symmetric:
        return Scales(scale)
    return Scales(scale, torch.randint(0, fmt.high + 1, shape, generator=generator).float())


@pytest.mark.parametrize("name", EVERY)
def test_a_grid_ascends_holds_zero_and_has_every_value_once(name):
    values = grid(named(name))
    assert (values.diff() > 0).all()
    assert (values == 0).sum() == 1
    expected = {"mxfp4": 15, "mxfp6_e2m3": 63, "mxfp6_e3m2": 63, "mxfp8_e4m3": 253}
    expected |= {"mxfp8_e5m2": 247, "mxint8": 255}
    assert len(values) == expected.get(name, 1 << named(name).bits)


@pytest.mark.parametrize("name", SYMMETRIC_INT)
def test_symmetric_integers_use_the_full_range(name):
    bits = named(name).bits
    assert grid(named(name)).tolist() == list(range(-(2 ** (bits - 1)), 2 ** (bits - 1)))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("group", [None, 32])
def test_every_code_comes_back_from_its_own_value(name, group):
    fmt = named(name, group)
    element = element_of(fmt)
    if fmt.kind == "int":
        codes = torch.arange(fmt.low, fmt.high + 1)
    elif fmt.is_float:
        codes = torch.arange(1 << fmt.bits)
    else:
        codes = torch.arange(-127, 128)
    codes = codes.repeat(32)[: len(codes) // 32 * 32 + 32]  # to a whole number of groups
    codes = codes.to(torch.int8 if fmt.low < 0 and not fmt.is_float else torch.uint8)
    codes = codes.expand(5, -1).contiguous()
    scales = scales_for(fmt, 5, codes.shape[1])
    values = dequantize(Quantized(codes, scales, fmt))
    finite = values.isfinite()
    back = round_to_nearest(torch.where(finite, values, 0.0), scales, fmt)
    assert back.dtype == codes.dtype, element
    assert torch.equal(back[finite], codes[finite])


@pytest.mark.parametrize("name", EVERY)
def test_no_other_codes_are_nearer_than_round_to_nearests(name):
    fmt = named(name)
    weight = torch.randn(6, 64, generator=torch.Generator().manual_seed(1)) * 4
    scales = scales_for(fmt, 6, 64)
    found = dequantize(Quantized(round_to_nearest(weight, scales, fmt), scales, fmt)).double()
    scale = scales.scale.repeat_interleave(64 // scales.scale.shape[1], 1)[..., None].double()
    zero = 0 if scales.zero is None else scales.zero[..., None].double()
    reachable = scale * (grid(fmt).double() - zero)
    best = (weight[..., None].double() - reachable).abs().amin(-1)
    torch.testing.assert_close((found - weight.double()).abs(), best, rtol=1e-6, atol=1e-6)


def test_dequantizing_an_asymmetric_grouped_weight_by_hand():
    fmt = named("int4_asym", 2)
    codes = torch.tensor([[0, 15, 7, 8]], dtype=torch.uint8)
    scales = Scales(torch.tensor([[0.5, 2.0]]), torch.tensor([[4.0, 8.0]]))
    assert dequantize(Quantized(codes, scales, fmt)).tolist() == [[-2.0, 5.5, -2.0, 0.0]]


def test_a_negative_scale_is_honoured():
    fmt = named("int4")
    scales = Scales(torch.tensor([[-1.0]]))
    codes = round_to_nearest(torch.tensor([[8.0, -7.0, 3.0]]), scales, fmt)
    assert codes.tolist() == [[-8, 7, -3]]
    assert dequantize(Quantized(codes, scales, fmt)).tolist() == [[8.0, -7.0, 3.0]]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dynamic_rounding_keeps_shape_and_type_and_errs_as_little_as_its_bits_allow(name, dtype):
    fmt = named(name)
    x = torch.randn(2, 3, 256, generator=torch.Generator().manual_seed(2)).to(dtype)
    found = fake_quantize(x, fmt)
    assert found.dtype == dtype
    assert found.shape == x.shape
    error = float((found.float() - x.float()).square().sum() / x.float().square().sum())
    # Uniform noise of one step: the largest of 256 normal numbers is about three.
    precision = fmt.mantissa + 1 if fmt.is_float else fmt.bits - 1
    assert error < 4.0**-precision * 6


@pytest.mark.parametrize("name", [*SYMMETRIC_INT, *ASYMMETRIC_INT])
def test_dynamic_groups_are_those_of_the_format(name):
    x = torch.randn(4, 128, generator=torch.Generator().manual_seed(3))
    found = fake_quantize(x, named(name, 32))
    alone = fake_quantize(x.view(16, 32), named(name))
    assert torch.equal(found, alone.view(4, 128))


@pytest.mark.parametrize("name", MX)
def test_midmax_never_saturates_more_than_floor(name):
    fmt = named(name)
    x = torch.randn(200, 32, generator=torch.Generator().manual_seed(4))
    floor = fake_quantize(x, fmt)
    midmax = fake_quantize(x, fmt.with_scale_rounding("midmax"))
    lost = [(x.abs().amax(-1) - q.abs().amax(-1)).clamp(min=0).sum() for q in (floor, midmax)]
    assert lost[1] <= lost[0]
    assert not torch.equal(floor, midmax)


def test_a_group_that_does_not_divide_is_refused_with_what_would():
    with pytest.raises(InvalidRecipe, match="group 48 of int4 does not divide 64; choose 16, 32"):
        fake_quantize(torch.zeros(2, 64), named("int4", 48))
    with pytest.raises(InvalidRecipe, match="group 32 of mxfp4 does not divide 72"):
        fake_quantize(torch.zeros(2, 72), named("mxfp4"))


def test_broken_numbers_are_counted_in_the_refusal():
    broken = torch.zeros(3, 4)
    broken[0, 0], broken[2, 1] = float("nan"), float("-inf")
    with pytest.raises(NumericalError, match="2 of 12 entries of the weight are NaN or infinite"):
        require_finite("weight", broken)
    require_finite("weight", torch.full((8, 8), torch.finfo(torch.float32).max))


@pytest.mark.parametrize(
    ("name", "group", "bits"),
    [
        ("int4", None, 4 + 16 / 512),
        ("int4", 64, 4.25),
        ("int4_asym", 64, 4 + 20 / 64),
        ("int3", 32, 3.5),
        ("mxfp4", None, 4.25),
        ("mxfp6_e3m2", None, 6.25),
        ("mxfp8_e4m3", None, 8.25),
        ("mxint8", None, 8.25),
    ],
)
def test_bits_per_weight_are_what_codes_scales_and_zero_points_occupy(name, group, bits):
    fmt = named(name, group)
    assert fmt.bits_per_weight(512) == bits
    scales = scales_for(fmt, 10, 512)
    zeros = 0 if scales.zero is None else scales.zero.numel()
    stored = 5120 * fmt.bits + scales.scale.numel() * fmt.scale_bits + zeros * fmt.zero_bits
    assert stored / 5120 == pytest.approx(bits, rel=1e-12)
