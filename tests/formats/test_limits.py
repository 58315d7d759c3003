"""What a type cannot hold is counted; what it holds is not."""

from __future__ import annotations

import pytest
import torch

from kernels.microscaling.operation import quantize_microscaling, scales_of
from kernels.microscaling.values import ScaleRule
from qcore.formats.coding import element_of, fake_quantize
from qcore.formats.format import FORMATS, named
from qcore.formats.limits import beyond, clipped, held_exponents
from qcore.formats.quantized import Scales
from qcore.scales.absmax import absmax
from qcore.scales.find import find_scales
from qcore.scales.piso import piso


def weights(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("method", ["absmax", "mse", "piso"])
def test_ordinary_weights_fit_every_type(name: str, method: str) -> None:
    weight = weights()
    weight[1] = 0.0
    for storage in ("float16", "bfloat16", "float32"):
        fmt = named(name).with_scale_type(storage)
        if method == "piso":
            scales = piso(weight, fmt, None, objective="identity", storage=storage)
        else:
            scales = find_scales(method, weight, fmt)
        assert beyond(weight, scales, fmt) == {}


def test_float16_scales_are_counted_at_both_ends() -> None:
    weight = weights()
    weight[0] *= 1e7
    weight[1] *= 1e-8
    weight[2] *= 1e-6
    fmt = named("int4", 32)
    found = beyond(weight, find_scales("absmax", weight, fmt), fmt)
    assert found == {"scales too large for float16": 2, "scales too small for float16": 4}
    wide = fmt.with_scale_type("float32")
    assert beyond(weight, find_scales("absmax", weight, wide), wide) == {}
    brain = fmt.with_scale_type("bfloat16")
    assert beyond(weight, find_scales("absmax", weight, brain), brain) == {}


def test_scales_that_piso_had_to_choose_at_the_end_are_counted() -> None:
    weight = weights().sign() * 1e7
    fmt = named("int2")
    scales = piso(weight, fmt, None, objective="identity", storage="float16")
    assert beyond(weight, scales, fmt) == {"scales too large for float16": 4}


@pytest.mark.parametrize("name", ["mxfp4", "mxfp8_e4m3", "mxint8"])
def test_shared_exponents_are_counted_at_both_ends(name: str) -> None:
    weight = weights()
    weight[0, :32] *= 2.0**-140
    weight[2, 32:] = 0.0
    for rule in ("floor", "midmax"):
        fmt = named(name).with_scale_rounding(rule)
        small = {"shared exponents too small for E8M0": 1}
        assert beyond(weight, absmax(weight, fmt), fmt) == small
    weight = weights().sign() * torch.finfo(torch.float32).max
    fmt = named(name).with_scale_rounding("midmax")
    found = beyond(weight, absmax(weight, fmt), fmt)
    large = {"shared exponents too large for E8M0": 8}
    assert found == (large if name == "mxint8" else {})  # only fixed point needs 2^128


def test_clipped_weights_are_those_more_than_half_a_step_beyond() -> None:
    weight = torch.tensor([[-8.5, -8.6, 7.5, 7.6, 0.0, 100.0]])
    assert clipped(weight, Scales(torch.ones(1, 1)), named("int4")) == 3
    zeros = Scales(torch.ones(1, 1), torch.tensor([[8.0]]))
    assert clipped(weight, zeros, named("int4_asym")) == 3
    assert clipped(weight.abs(), Scales(torch.ones(1, 1)), named("int4")) == 4
    assert clipped(weight.abs(), Scales(-torch.ones(1, 1)), named("int4")) == 2


@pytest.mark.parametrize("name", ["int3_asym", "int8_asym", "mxfp4", "mxfp8_e5m2", "mxint8"])
def test_scales_of_the_largest_magnitude_clip_next_to_nothing(name: str) -> None:
    weight = weights(3)
    fmt = named(name).with_scale_rounding("midmax")
    assert clipped(weight, absmax(weight, fmt), fmt) == 0
    narrow = Scales(absmax(weight, fmt).scale / 8, absmax(weight, fmt).zero)
    assert clipped(weight, narrow, fmt) > 0


MX = [name for name in FORMATS if named(name).kind == "mx"]


@pytest.mark.parametrize("rule", ["floor", "midmax"])
@pytest.mark.parametrize("name", MX)
def test_exponents_of_inputs_that_e8m0_lacks_are_counted_as_arithmetic_without_ends_says(
    name: str, rule: ScaleRule
) -> None:
    fmt = named(name).with_scale_rounding(rule)
    element = element_of(fmt)
    exponents = torch.arange(-149, 128)
    peaks = torch.cat([f * 2.0 ** exponents.double() for f in (1.0, 1.6, 1.76, 1.82, 1.97, 1.9999)])
    x = torch.randn(len(peaks), 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1) * 0.1
    x[:, 5] = -1.0
    x = (x.double() * peaks[:, None]).float()
    x[0] = 0.0
    x = torch.cat((x, torch.tensor([[torch.inf] * 32, [torch.nan] * 32])))
    # 2³⁰ or 2⁻³⁰ times as much, the exponent has room; there it is right, and tells what was asked.
    largest = x.abs().amax(-1)
    away = torch.where(largest < 1, 2.0**60, 2.0**-60)
    shared = quantize_microscaling(x * away[:, None], element, rule=rule)[1][:, 0]
    asked = scales_of(shared).double().log2() - away.double().log2()
    some = (largest > 0) & largest.isfinite()
    right = ((asked < -127) | (asked > 127)) & some
    assert right.any()
    found = torch.stack([held_exponents(row, fmt) for row in x])
    assert torch.equal(found.bool(), right)
    assert int(held_exponents(x.view(2, -1, 32), fmt)) == int(right.sum())
    seen = torch.stack([held_exponents(fake_quantize(row, fmt), fmt, rounded=True) for row in x])
    assert not (seen.bool() & ~right).any()
