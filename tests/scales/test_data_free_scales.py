from __future__ import annotations

import math

import pytest
import torch

from qcore.errors import InvalidRecipe, NumericalError
from qcore.formats.coding import dequantize, element_of, round_to_nearest
from qcore.formats.format import FORMATS, Format, named
from qcore.formats.quantized import Quantized, Scales
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from qcore.scales.find import find_scales
from qcore.scales.mse import mse

EVERY = list(FORMATS)
METHODS = ["absmax", "mse"]


def errors(weight: torch.Tensor, scales: Scales, fmt: Format) -> torch.Tensor:
    """Squared weight error of every group, [out, groups], in float64."""
    values = dequantize(Quantized(round_to_nearest(weight, scales, fmt), scales, fmt))
    difference = (values.double() - weight.double()).unflatten(1, (scales.scale.shape[1], -1))
    return difference.square().sum(-1)


def heavy_tailed(out: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(out, width, generator=generator)
    return normal * torch.exp(0.8 * torch.randn(out, width, generator=generator))


@pytest.mark.parametrize("bits", range(2, 9))
def test_symmetric_absmax_reaches_the_largest_magnitude_with_the_lowest_code(bits):
    fmt = named(f"int{bits}", 32)
    weight = heavy_tailed(4, 96)
    scales = absmax(weight, fmt)
    largest = weight.view(4, 3, 32).abs().amax(-1)
    assert torch.equal(scales.scale, largest / 2 ** (bits - 1))
    assert scales.zero is None


@pytest.mark.parametrize("bits", range(2, 9))
def test_asymmetric_absmax_spans_the_range_and_zero_with_a_whole_zero_point(bits):
    fmt = named(f"int{bits}_asym", 32)
    weight = heavy_tailed(4, 96)
    weight[0] = weight[0].abs() + 1
    weight[1] = -weight[1].abs() - 1
    scales = absmax(weight, fmt)
    groups = weight.view(4, 3, 32)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    torch.testing.assert_close(scales.scale, (high - low) / fmt.high, rtol=3e-7, atol=0)
    assert torch.equal(scales.zero, scales.zero.round())
    assert (scales.zero[0] == 0).all()
    assert (scales.zero[1] == fmt.high).all()
    grid_low, grid_high = -scales.scale * scales.zero, scales.scale * (fmt.high - scales.zero)
    assert ((grid_low - low).abs() <= scales.scale * 0.50001).all()
    assert ((grid_high - high).abs() <= scales.scale * 0.50001).all()


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("mx")])
def test_mx_absmax_is_the_specifications_scale(name):
    fmt = named(name)
    weight = heavy_tailed(4, 96)
    top = element_of(fmt).max_exponent
    largest = weight.view(4, 3, 32).abs().amax(-1)
    expected = [[2.0 ** (math.floor(math.log2(a)) - top) for a in row] for row in largest.tolist()]
    assert absmax(weight, fmt).scale.tolist() == expected
    raised = absmax(weight, fmt.with_scale_rounding("midmax")).scale / absmax(weight, fmt).scale
    assert set(raised.unique().tolist()) <= {1.0, 2.0}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("width", [32, 320])
def test_mse_is_never_worse_than_absmax_in_any_group(name, width):
    fmt = named(name)
    weight = heavy_tailed(40, width)
    assert (
        errors(weight, mse(weight, fmt), fmt)
        <= errors(weight, absmax(weight, fmt), fmt) * (1 + 1e-5)
    ).all()


@pytest.mark.parametrize("name", ["int2", "int3", "int4", "int2_asym", "int4_asym"])
@pytest.mark.parametrize("group", [None, 32])
def test_mse_comes_within_a_percent_of_a_search_of_three_thousand_scales(name, group):
    fmt = named(name, group)
    weight = heavy_tailed(12, 256, seed=3)
    found = errors(weight, mse(weight, fmt), fmt)
    start = absmax(weight, fmt)
    best = torch.full_like(found, math.inf)
    for fraction in torch.linspace(0.05, 1.2, 3000):
        best = torch.minimum(best, errors(weight, Scales(start.scale * fraction, start.zero), fmt))
    assert found.sum() <= 1.01 * best.sum()


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("mx")])
@pytest.mark.parametrize("rule", ["floor", "midmax"])
def test_mse_for_mx_is_the_best_power_of_two(name, rule):
    fmt = named(name).with_scale_rounding(rule)
    weight = heavy_tailed(40, 64)
    scales = mse(weight, fmt)
    mantissa, _ = torch.frexp(scales.scale)
    assert (mantissa == 0.5).all()
    found = errors(weight, scales, fmt)
    for step in range(-6, 5):
        other = Scales(absmax(weight, fmt).scale * 2.0**step)
        assert (found <= errors(weight, other, fmt) * (1 + 1e-5)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", EVERY)
def test_zero_groups_and_constant_channels_have_usable_scales(method, name):
    fmt = named(name)
    weight = torch.zeros(5, 64)
    weight[1], weight[2], weight[3, :5], weight[4, 3] = 0.75, -0.75, 1e-40, 1e-45
    scales = find_scales(method, weight, fmt)
    assert scales.scale.isfinite().all()
    assert (scales.scale > 0).all()
    values = dequantize(Quantized(round_to_nearest(weight, scales, fmt), scales, fmt))
    assert (values[0] == 0).all()
    assert values.isfinite().all()
    # One positive value takes the highest code at worst: 2^(b−1) − 1 of 2^(b−1).
    tolerance = 2.0 ** (1 - fmt.bits) if fmt.symmetric and fmt.kind == "int" else 0.25
    if method == "mse":
        tolerance = 2.0**-11 if fmt.kind == "int" else tolerance  # what a float16 scale is off by
    assert ((values[1:3] - weight[1:3]).abs() <= 0.75 * tolerance * (1 + 1e-6)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["int3", "int4_asym", "mxfp4", "mxint8"])
def test_scales_follow_the_weight_exactly_through_powers_of_two(method, name):
    fmt = named(name)
    weight = heavy_tailed(8, 64)
    plain, doubled = find_scales(method, weight, fmt), find_scales(method, weight * 8, fmt)
    assert torch.equal(plain.scale * 8, doubled.scale)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["int3", "int4_asym", "mxfp4"])
def test_scales_do_not_depend_on_the_other_channels(method, name):
    fmt = named(name)
    weight = heavy_tailed(200, 1024)  # more than one chunk of work
    alone = find_scales(method, weight[150:151], fmt)
    together = find_scales(method, weight, fmt)
    assert torch.equal(alone.scale, together.scale[150:151])
    again = find_scales(method, weight, fmt)
    assert torch.equal(again.scale, together.scale)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_weights_have_the_scales_of_their_float32_values(method):
    weight = heavy_tailed(8, 64).bfloat16()
    for name in ("int4", "mxfp4"):
        found = find_scales(method, weight, named(name))
        assert found.scale.dtype == torch.float32
        assert torch.equal(found.scale, find_scales(method, weight.float(), named(name)).scale)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["int4", "int4_asym"])
def test_a_scale_is_the_nearest_number_that_its_type_holds(name, kind):
    fmt = named(name).with_scale_type(kind)
    weight = heavy_tailed(200, 64)
    found, exact = find_scales("absmax", weight, fmt).scale, absmax(weight, fmt).scale
    stored = getattr(torch, kind)
    assert torch.equal(found.to(stored).float(), found)
    assert torch.equal(found, exact.to(stored).float())


def test_scales_beyond_the_range_of_their_type_stay_usable():
    fmt = named("int4").with_scale_type("float16")
    weight = torch.tensor([[1e-30, -1e-30], [1e30, -1e30]])
    scales = find_scales("absmax", weight, fmt)
    assert scales.scale.flatten().tolist() == [2.0**-24, torch.finfo(torch.float16).max]
    assert dequantize(rtn(weight, scales, fmt)).isfinite().all()


def test_powers_of_two_have_no_other_type():
    assert named("mxfp4").with_scale_type("float32") == named("mxfp4")


def test_what_cannot_be_scaled_is_refused():
    weight = torch.ones(2, 64)
    with pytest.raises(InvalidRecipe, match="unknown data-free scale method 'best'; choose absmax"):
        find_scales("best", weight, named("int4"))
    with pytest.raises(InvalidRecipe, match="group 48 of int4 does not divide 64"):
        find_scales("mse", weight, named("int4", 48))
    weight[1, 3] = float("nan")
    for method in METHODS:
        with pytest.raises(NumericalError, match="1 of 128 entries of the weight"):
            find_scales(method, weight, named("int4"))
