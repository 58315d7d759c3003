"""Sequential capture, both in one pass that pauses and by running blocks again."""

import pytest
import torch

from qcore.calibration import sequential, walk
from qcore.calibration.capture import capture
from qcore.calibration.sequential import capture_sequential
from qcore.models.families import linear_module, sites
from qcore.models.surgery import Surgery, changed
from tests.calibration.helpers_definitions import inputs_of, relative
from tests.models.factories import MAKERS, tiny_model, tiny_windows


@pytest.fixture(params=["one pass", "again for every site"], autouse=True)
def steps(request, monkeypatch):
    """Every test is about both ways."""
    if request.param == "again for every site":
        monkeypatch.setattr(sequential, "HELD", 0)
        monkeypatch.setattr(walk, "TOKENS_AT_ONCE", 32)


def rounded(weight):
    """A coarse round to nearest, per tensor."""
    scale = weight.abs().max() / 3
    return (weight / scale).round() * scale


@pytest.mark.parametrize("name", MAKERS)
def test_sequential_capture_sees_what_the_quantized_prefix_produces(name):
    model = tiny_model(name)
    surgery = Surgery(model)
    seen = {}

    def on_site(site, statistics):
        seen[site.block, site.name] = statistics
        # What a plain forward gives now is what this site must have been shown.
        x = inputs_of(model, tiny_windows())[site.block, site.name]
        assert relative(statistics.hessian, x.T @ x / len(x)) < 1e-10
        for linear in site.linears:
            surgery.replace_weight(linear, rounded(linear_module(model, linear).weight))

    capture_sequential(model, tiny_windows(), on_site)
    assert list(seen) == [(site.block, site.name) for site in sites(model)]
    surgery.restore()
    floats = {block.block: block for block in capture(model, tiny_windows())}
    last = (2, "mlp_hidden")
    assert relative(seen[last].hessian, floats[2].sites["mlp_hidden"].hessian.double()) > 1e-3


def test_sequential_capture_of_an_unchanged_network_is_the_plain_capture():
    model = tiny_model("qwen3")
    seen = []
    capture_sequential(model, tiny_windows(), lambda site, statistics: seen.append(statistics))
    plain = [s for block in capture(model, tiny_windows()) for s in block.sites.values()]
    for mine, theirs in zip(seen, plain, strict=True):
        assert relative(mine.hessian, theirs.hessian.double()) < 1e-12


def test_sequential_capture_sees_quantized_inputs():
    model = tiny_model()
    seen = {}
    with changed(model, inputs=lambda site: torch.sign):
        capture_sequential(
            model, tiny_windows(), lambda site, s: seen.__setitem__((site.block, site.name), s)
        )
    for statistics in seen.values():
        diagonal = statistics.hessian.diagonal()
        assert torch.allclose(diagonal, torch.ones_like(diagonal), atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_the_float_stream_gives_cross_moments_of_both_networks(name):
    model = tiny_model(name)
    float_inputs = inputs_of(model, tiny_windows())
    surgery = Surgery(model)
    surgery.map_inputs(lambda site: lambda x: (x * 4).round() / 4)
    checked = []

    def on_site(site, statistics):
        key = (site.block, site.name)
        quantized, x = inputs_of(model, tiny_windows())[key], float_inputs[key]
        expected = quantized.T @ x / len(x)
        assert relative(statistics.cross, expected) < 1e-10
        assert relative(statistics.cross, expected.T) > 1e-6
        checked.append(key)
        for linear in site.linears:
            surgery.replace_weight(linear, rounded(linear_module(model, linear).weight))

    capture_sequential(model, tiny_windows(), on_site, float_stream=True)
    surgery.restore()
    assert len(checked) == 12


@pytest.mark.parametrize("name", MAKERS)
def test_a_float_stream_from_the_block_begins_where_the_changed_network_has_come_to(name):
    model = tiny_model(name)
    float_inputs = inputs_of(model, tiny_windows())
    surgery = Surgery(model)
    surgery.map_inputs(lambda site: quarters)
    checked = []

    def on_site(site, statistics):
        key = (site.block, site.name)
        quantized = inputs_of(model, tiny_windows())[key]
        expected = quantized.T @ inputs_with_a_float_block(name, model, site) / len(quantized)
        assert relative(statistics.cross, expected) < 1e-10
        if site.block > 0:
            whole = quantized.T @ float_inputs[key] / len(quantized)
            assert relative(statistics.cross, whole) > 1e-6
        checked.append(key)
        for linear in site.linears:
            surgery.replace_weight(linear, rounded(linear_module(model, linear).weight))

    capture_sequential(model, tiny_windows(), on_site, float_stream=True, from_block=True)
    surgery.restore()
    assert len(checked) == 12


def quarters(x):
    return (x * 4).round() / 4


def inputs_with_a_float_block(name, model, site):
    """What the site sees when its block is float and the blocks before it are as they are."""
    before = [item for item in sites(tiny_model(name)) if item.block < site.block]
    weights = {each: linear_module(model, each).weight for item in before for each in item.linears}
    other = tiny_model(name)
    with changed(other, weights, lambda item: quarters if item in before else None):
        return inputs_of(other, tiny_windows())[site.block, site.name]


def test_a_model_too_large_for_one_pass_is_shown_the_same(monkeypatch):
    model = tiny_model()

    def shown():
        seen = []
        with changed(model, inputs=lambda site: quarters) as surgery:

            def on_site(site, statistics):
                seen.append(statistics)
                for linear in site.linears:
                    surgery.replace_weight(linear, rounded(linear_module(model, linear).weight))

            capture_sequential(model, tiny_windows(), on_site, float_stream=True)
        return seen

    whole = shown()
    monkeypatch.setattr(sequential, "HELD", 0)
    monkeypatch.setattr(walk, "TOKENS_AT_ONCE", 16)
    for one, other in zip(whole, shown(), strict=True):
        assert relative(one.hessian, other.hessian.double()) < 1e-10
        assert relative(one.cross, other.cross.double()) < 1e-10


def test_no_hook_stays_behind_when_a_site_cannot_be_changed():
    model = tiny_model()

    def refuse(site, statistics):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        capture_sequential(model, tiny_windows(), refuse, float_stream=True)
    assert not any(module._forward_pre_hooks for module in model.modules())
