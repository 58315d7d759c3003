"""PiSO scales on whole weights: objectives, groups, zero points, powers of two, refusals."""

from itertools import pairwise

import pytest
import torch

from qcore.errors import InvalidRecipe, NotPositiveDefinite, NumericalError
from qcore.formats.coding import dequantize
from qcore.formats.format import named
from qcore.formats.quantized import Scales
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from qcore.scales.mse import mse
from qcore.scales.piso import fit, piso


def layer(width=64, out=12, tokens=400, drift=0.1, seed=0):
    """(float inputs X, quantized inputs X̃, weight) with correlated, unequal features."""
    make = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=make) + 2 * torch.eye(width)
    x = torch.randn(tokens, width, generator=make) @ mix
    x = x * torch.exp(torch.randn(width, generator=make))
    xq = x + drift * x.std() * torch.randn(tokens, width, generator=make)
    return x, xq, torch.randn(out, width, generator=make)


def errors(x, xq, weight, scales, fmt):
    """‖Xw − X̃ŵ‖² of every channel, measured on the samples."""
    rounded = dequantize(rtn(weight, scales, fmt)).double()
    return ((x.double() @ weight.double().T - xq.double() @ rounded.T) ** 2).sum(0)


def moments(x, xq):
    return xq.double().T @ xq.double(), xq.double().T @ x.double()


FORMATS = [
    *((f"int{bits}", None) for bits in range(2, 9)),
    ("int3", 16),
    ("int4_asym", 32),
    ("int2_asym", None),
    ("mxfp4", None),
    ("mxfp6_e2m3", None),
    ("mxfp6_e3m2", None),
    ("mxfp8_e4m3", None),
    ("mxfp8_e5m2", None),
    ("mxint8", None),
]


@pytest.mark.parametrize(("name", "group"), FORMATS)
def test_the_error_reported_is_the_error_on_the_samples(name, group):
    fmt = named(name, group)
    x, xq, weight = layer()
    found = fit(weight, fmt, *moments(x, xq), objective="cross")
    energy = ((x.double() @ weight.double().T) ** 2).sum(0)
    measured = errors(x, xq, weight, found.scales, fmt)
    torch.testing.assert_close(found.error + energy, measured, rtol=1e-4, atol=0)
    assert found.passes[0].error == pytest.approx(float(found.error.sum()))


@pytest.mark.parametrize(("name", "group"), [f for f in FORMATS if f[1] is None and f[0] < "mx"])
def test_one_scale_to_a_channel_is_never_worse_than_absmax_or_mse(name, group):
    fmt = named(name, group)
    x, xq, weight = layer(seed=3)
    ours = errors(x, xq, weight, piso(weight, fmt, *moments(x, xq), objective="cross"), fmt)
    for other in (absmax(weight, fmt), mse(weight, fmt)):
        if fmt.symmetric:
            assert bool((ours <= errors(x, xq, weight, other, fmt) * (1 + 1e-9)).all())


@pytest.mark.parametrize("name", ["mxfp4", "mxfp6_e3m2", "mxint8"])
def test_no_power_of_two_is_better_for_a_single_block(name):
    fmt = named(name)
    x, xq, weight = layer(width=32, seed=4)
    found = piso(weight, fmt, *moments(x, xq), objective="cross")
    ours = errors(x, xq, weight, found, fmt)
    assert bool((torch.frexp(found.scale).mantissa == 0.5).all())
    for exponent in range(-16, 8):
        other = Scales(torch.full((len(weight), 1), 2.0**exponent))
        assert bool((ours <= errors(x, xq, weight, other, fmt) * (1 + 1e-9)).all())


def test_data_decides_where_weights_alone_mislead():
    x, _, weight = layer(seed=5)
    fmt, h = named("int3"), x.T @ x
    informed = errors(x, x, weight, piso(weight, fmt, h), fmt).sum()
    blind = errors(x, x, weight, piso(weight, fmt, None, objective="identity"), fmt).sum()
    assert informed < blind


def test_the_identity_objective_is_least_weight_error():
    _, _, weight = layer(seed=6)
    fmt = named("int3")
    ours = dequantize(rtn(weight, piso(weight, fmt, None, objective="identity"), fmt))
    theirs = dequantize(rtn(weight, mse(weight, fmt), fmt))
    least, searched = ((weight - ours) ** 2).sum(1), ((weight - theirs) ** 2).sum(1)
    assert bool((least <= searched * (1 + 1e-6)).all())


def test_unquantized_and_self_are_one_objective_on_different_captures():
    _, xq, weight = layer(seed=7)
    h = xq.T @ xq
    one, two = (piso(weight, named("int4"), h, objective=o) for o in ("self", "unquantized"))
    assert torch.equal(one.scale, two.scale)


def test_the_cross_objective_is_self_where_the_inputs_are_the_float_ones():
    _, xq, weight = layer(seed=8)
    h = xq.T @ xq
    for group in (None, 16):
        fmt = named("int3", group)
        one, two = piso(weight, fmt, h), piso(weight, fmt, h, h, objective="cross")
        torch.testing.assert_close(one.scale, two.scale, rtol=0, atol=0)


def test_groups_that_know_of_each_other_do_better_and_refining_better_still():
    x, xq, weight = layer(width=128, out=32, seed=9)
    fmt, both = named("int3", 16), moments(x, xq)
    alone = fit(weight, fmt, *both, objective="cross", grouping="independent")
    informed = fit(weight, fmt, *both, objective="cross", grouping="sequential")
    refined = fit(weight, fmt, *both, objective="cross", refine=True)
    assert float(informed.error.sum()) < float(alone.error.sum())
    assert bool((refined.error <= informed.error).all())
    assert float(refined.error.sum()) < float(informed.error.sum())


@pytest.mark.parametrize(("name", "group"), [("int3", 16), ("int3_asym", 16), ("mxfp4", None)])
def test_refining_lowers_the_error_in_every_pass_and_ends_where_no_group_improves(name, group):
    x, xq, weight = layer(width=96, seed=10)
    found = fit(
        weight, named(name, group), *moments(x, xq), objective="cross", refine=True, signed=True
    )
    totals = [one.error for one in found.passes]
    assert all(later <= earlier for earlier, later in pairwise(totals))
    assert found.passes[-1].name == "refine"
    assert found.passes[-1].changed == 0


def test_independent_groups_are_channels_of_their_own():
    _, xq, weight = layer(width=48, seed=11)
    h = xq.T @ xq
    grouped = piso(weight, named("int3", 16), h, grouping="independent")
    for at in range(3):
        part = slice(16 * at, 16 * at + 16)
        alone = piso(weight[:, part], named("int3"), h[part, part])
        torch.testing.assert_close(grouped.scale[:, at], alone.scale[:, 0], rtol=0, atol=0)


def test_every_zero_point_tried_is_never_worse_than_some_or_the_given_one():
    x, xq, weight = layer(seed=12)
    weight = weight + 0.8
    fmt, both = named("int3_asym"), moments(x, xq)
    fixed, near, every = (
        fit(weight, fmt, *both, objective="cross", zero_points=how)
        for how in ("fixed", "near", "all")
    )
    given = absmax(weight, fmt)
    assert given.zero is not None
    assert fixed.scales.zero is not None
    assert torch.equal(fixed.scales.zero, given.zero)
    assert bool((every.error <= near.error).all())
    assert bool((near.error <= fixed.error).all())
    assert bool((near.error < fixed.error).any())
    measured = errors(x, xq, weight, every.scales, fmt)
    for zero in range(8):
        other = Scales(every.scales.scale, torch.full_like(every.scales.scale, zero))
        assert bool((measured <= errors(x, xq, weight, other, fmt) * (1 + 1e-9)).all())


def test_the_default_finds_the_zero_point_that_a_descent_misses():
    weight = torch.tensor([[0.375, -2.375, 0.75, -0.75, 0.375, 2.125]])
    hessian = torch.tensor(
        [
            [29.25, 11.5, 3, -8, 4.75, -1],
            [11.5, 5.5, -0.25, -5.25, 4, -1.25],
            [3, -0.25, 5.75, 5.5, -6.25, 2.75],
            [-8, -5.25, 5.5, 10.75, -10, 4],
            [4.75, 4, -6.25, -10, 10.5, -4.25],
            [-1, -1.25, 2.75, 4, -4.25, 2.25],
        ]
    )
    energy = (weight.double() @ hessian.double() * weight.double()).sum()
    near, every = (
        fit(weight, named("int3_asym"), hessian, zero_points=how).error for how in ("near", "all")
    )
    assert torch.equal(near, every)
    assert float(1 + near / energy) == pytest.approx(0.053, abs=5e-4)


@pytest.mark.parametrize("name", ["int2_asym", "int3_asym", "int4_asym"])
@pytest.mark.parametrize("group", [None, 16])
def test_the_default_is_the_joint_optimum_up_to_four_bits(name, group):
    x, xq, weight = layer(width=32, out=40, seed=15)
    fmt, both = named(name, group), moments(x, xq)
    given = {"objective": "cross", "grouping": "independent"}
    near, every = (fit(weight + 0.5, fmt, *both, **given, zero_points=h) for h in ("near", "all"))
    assert torch.equal(near.error, every.error)
    assert torch.equal(near.scales.scale, every.scales.scale)


def test_beyond_four_bits_the_default_walks_past_local_minima():
    x, xq, weight = layer(width=48, out=24, seed=16)
    fmt, both = named("int6_asym"), moments(x, xq)
    energy = ((x.double() @ weight.double().T) ** 2).sum(0)
    near, every = (
        fit(weight, fmt, *both, objective="cross", zero_points=how).error + energy
        for how in ("near", "all")
    )
    assert bool((near >= every * (1 - 1e-9)).all())
    assert float((near / every).mean()) < 1.01


def test_stored_scales_are_numbers_of_their_type():
    _, xq, weight = layer(seed=13)
    h = xq.T @ xq
    exact = fit(weight, named("int4"), h)
    for storage, kind in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        stored = fit(weight, named("int4"), h, storage=storage)
        assert torch.equal(stored.scales.scale.to(kind).float(), stored.scales.scale)
        assert bool((stored.error >= exact.error * (1 + 1e-12)).all())


def test_signed_scales_help_where_the_grid_is_lopsided():
    x, _, weight = layer(seed=14)
    fmt, h = named("int2"), x.T @ x
    plain, signed = piso(weight, fmt, h), piso(weight, fmt, h, signed=True)
    assert bool((signed.scale < 0).any())
    before, after = (errors(x, x, weight, scales, fmt) for scales in (plain, signed))
    assert bool((after <= before * (1 + 1e-9)).all())
    assert float(after.sum()) < float(before.sum())


@pytest.mark.parametrize(("name", "group"), [("int4", None), ("int4_asym", 16), ("mxfp4", None)])
def test_zero_and_constant_channels_get_usable_scales(name, group):
    fmt = named(name, group)
    x, _, weight = layer(width=32)
    weight[0], weight[1] = 0.0, 0.25
    found = piso(weight, fmt, x.T @ x, refine=True)
    values = dequantize(rtn(weight, found, fmt))
    assert bool((found.scale != 0).all())
    assert bool(found.scale.isfinite().all())
    assert torch.equal(values[0], torch.zeros(32))
    torch.testing.assert_close(values[1], weight[1], rtol=0.1, atol=0)


def test_one_input_is_coded_without_error():
    weight = torch.tensor([[0.7], [-3.0]])
    found = piso(weight, named("int4"), torch.tensor([[2.0]]))
    torch.testing.assert_close(dequantize(rtn(weight, found, named("int4"))), weight)


def test_one_calibration_token_is_enough_for_a_scale():
    _, xq, weight = layer(tokens=2)
    h = xq[:1].T @ xq[:1]
    found = fit(weight, named("int4"), h)
    assert bool(found.scales.scale.isfinite().all())
    energy = (weight.double() @ xq[0].double()) ** 2
    assert bool((found.error <= 0).all())
    assert bool((found.error >= -energy * (1 + 1e-6)).all())


def test_inputs_that_were_never_seen_leave_scales_usable():
    _, _, weight = layer(width=32)
    nothing = torch.zeros(32, 32)
    found = piso(weight, named("int4", 16), nothing, refine=True)
    assert bool(found.scale.isfinite().all())
    assert bool((found.scale > 0).all())


def test_moments_that_are_none_are_refused():
    _, xq, weight = layer()
    fmt, h = named("int4"), xq.T @ xq
    indefinite = h.clone()
    largest = int(h.diagonal().argmax())  # beyond what sums in float32 may leave
    indefinite[largest, largest] = -h[largest, largest]
    with pytest.raises(NotPositiveDefinite, match="eigenvalue"):
        piso(weight, fmt, indefinite)
    with pytest.raises(NumericalError, match="NaN"):
        piso(weight, fmt, h * torch.nan)
    with pytest.raises(NumericalError, match="weight"):
        piso(weight * torch.inf, fmt, h)
    with pytest.raises(InvalidRecipe, match="does not fit"):
        piso(weight, fmt, h[1:, 1:])
    with pytest.raises(InvalidRecipe, match="cross moment"):
        piso(weight, fmt, h, objective="cross")
    with pytest.raises(InvalidRecipe, match="Hessian alone"):
        piso(weight, fmt, h, h, objective="self")
    with pytest.raises(InvalidRecipe, match="does not divide"):
        piso(weight, named("int4", 48), h)
