"""A layer's channels under the scale methods, on moments and weights made by hand."""

import numpy as np
import pytest
import torch

from cache.store import Cache
from qcore.analysis import channels
from qcore.analysis.captures import captures
from qcore.errors import InvalidRecipe
from qcore.formats.coding import dequantize
from qcore.formats.format import named
from qcore.formats.quantized import Scales
from qcore.report.summary import Summary
from qcore.rounding.rtn import rtn
from tests.pipeline.factories import Workshop

INPUTS = 24


def tokens() -> torch.Tensor:
    make = torch.Generator().manual_seed(0)
    x = torch.randn(200, INPUTS, generator=make) @ torch.randn(INPUTS, INPUTS, generator=make)
    x[:, 3] *= 30.0  # a loud input, which a clipped weight must not meet
    return x


def layer(rows: int = 20) -> channels.Layer:
    x = tokens().double()
    weight = torch.randn(rows, INPUTS, generator=torch.Generator().manual_seed(1))
    weight[:, 3] *= 4.0
    return channels.Layer("0.mlp.down_proj", weight, x.T @ x / len(x))


@pytest.mark.parametrize("name", channels.GRIDS)
@pytest.mark.parametrize("objective", channels.OBJECTIVES)
def test_piso_is_no_worse_than_the_others_in_any_channel(name, objective):
    found = channels.survey(layer(), named(name), objective)
    assert found.of == len(found.channel) == 20
    for other in ("absmax", "mse"):
        assert np.all(found.error["piso"] <= found.error[other] * (1 + 1e-5))
        assert np.all(found.gain(other) >= 1 - 1e-5)


def test_errors_are_those_of_the_samples():
    fmt, x, made = named("int3"), tokens(), layer()
    found = channels.survey(made, fmt, "unquantized")
    for row in (0, 7):
        seen = channels.look(made, fmt, "unquantized", row)
        for method, item in seen.rounded.items():
            w = made.weight[row]
            scale = Scales(torch.full((1, 1), item.landing.scale))
            left = x @ (w - dequantize(rtn(w[None], scale, fmt))[0])
            error = float(left.double().square().sum() / (x @ w).double().square().sum())
            assert item.landing.error == pytest.approx(error, rel=1e-3)
            assert item.captured_error == pytest.approx(item.landing.error)
            assert found.error[method][row] == pytest.approx(error, rel=1e-3)


def test_without_data_piso_is_least_weight_error_and_pays_for_it_on_the_inputs():
    made, fmt = layer(), named("int2")
    blind = [channels.look(made, fmt, "identity", row).rounded["piso"] for row in range(20)]
    seeing = [channels.look(made, fmt, "unquantized", row).rounded["piso"] for row in range(20)]
    pairs = list(zip(blind, seeing, strict=True))
    assert all(a.captured_error >= b.captured_error * (1 - 1e-6) for a, b in pairs)
    assert sum(a.clipped_energy for a in blind) > sum(b.clipped_energy for b in seeing)


def test_shares_are_counted_on_the_weights():
    made, fmt = layer(), named("int3")
    item = channels.look(made, fmt, "identity", 2).rounded["mse"]
    ratio = made.weight[2].double() / item.landing.scale
    beyond = (ratio > 3.5) | (ratio < -4.5)
    energies = made.hessian.diagonal()
    assert item.clipped == pytest.approx(float(beyond.double().mean()))
    assert item.clipped_energy == pytest.approx(float(energies[beyond].sum() / energies.sum()))
    assert item.zero == pytest.approx(float((ratio.abs() < 0.5).double().mean()))


def test_a_survey_beyond_the_budget_takes_an_even_selection(monkeypatch):
    monkeypatch.setattr(channels, "BUDGET", INPUTS * INPUTS * 8 * 17)
    found = channels.survey(layer(rows=50), named("int4"), "unquantized")
    assert (len(found.channel), found.of) == (17, 50)
    assert (found.channel[0], found.channel[-1]) == (0, 49)
    assert np.diff(found.channel).max() <= 4


def test_silent_channels_are_left_out_of_a_survey_and_refused_alone():
    made = layer()
    made.weight[5] = 0.0
    assert 5 not in channels.survey(made, named("int4"), "unquantized").channel
    with pytest.raises(InvalidRecipe, match="energy"):
        channels.look(made, named("int4"), "unquantized", 5)
    with pytest.raises(InvalidRecipe, match="no channel 20"):
        channels.look(made, named("int4"), "unquantized", 20)


def test_a_layer_is_that_of_the_captured_network_and_its_survey_is_kept(shop: Workshop):
    report = shop.run(shop.recipe())
    (capture,) = captures([Summary.of(report)], shop.cache)
    found = channels.layer_of(capture, shop.cache, shop.root, 2, "gate_proj")
    model = shop.session.network(shop.keys(report.recipe), lambda *_: None).model
    assert torch.equal(found.weight, model.model.layers[2].mlp.gate_proj.weight.data)
    (row,) = [item for item in report.layers if item.name == found.name]
    assert found.hessian.shape == (32, 32)
    fmt = named("int4")
    first = channels.kept_survey(capture, shop.cache, found, fmt, "unquantized")
    again = channels.kept_survey(capture, Cache(shop.root / "cache"), found, fmt, "unquantized")
    for method in channels.METHODS:
        np.testing.assert_array_equal(first.error[method], again.error[method])
    # The run's own error of the whole layer, from its channels' errors.
    weight = found.weight.double()
    energy = ((weight @ found.hessian) * weight).sum(1).numpy()
    whole = float((first.error["mse"] * energy[first.channel]).sum() / energy.sum())
    assert row.output_error == pytest.approx(whole, rel=1e-3)
    with pytest.raises(InvalidRecipe, match="no projection"):
        channels.layer_of(capture, shop.cache, shop.root, 2, "lm_head")
