import pytest
import torch

from qcore.calibration.capture import capture, capture_sequential
from qcore.calibration.statistics import BlockStatistics
from qcore.errors import NumericalError
from qcore.models.families import SITES, linear_module, sites
from qcore.models.surgery import Surgery, changed
from tests.models.tiny_models import MAKERS, VARIANTS, tiny_model, tiny_windows


def inputs_of(model, windows):
    """What every site sees in a plain forward: (block, site) → [tokens, width] in float64."""
    read = {}
    handles = [
        linear_module(model, site.linears[0]).register_forward_pre_hook(
            lambda module, inputs, key=(site.block, site.name): read.__setitem__(
                key, inputs[0].flatten(0, 1).double()
            )
        )
        for site in sites(model)
    ]
    with torch.no_grad():
        model(windows, use_cache=False)
    for handle in handles:
        handle.remove()
    return read


def relative(found, expected):
    return float((found.double() - expected).square().sum() / expected.square().sum())


def rounded(weight):
    """A coarse round to nearest, per tensor."""
    scale = weight.abs().max() / 3
    return (weight / scale).round() * scale


@pytest.mark.parametrize("variant", VARIANTS)
def test_captured_moments_are_those_of_a_plain_forward(variant):
    family, more = VARIANTS[variant]
    model = tiny_model(family, **more)
    expected = inputs_of(model, tiny_windows())
    captured = list(capture(model, tiny_windows()))
    assert [block.block for block in captured] == [0, 1, 2]
    for block in captured:
        assert tuple(block.sites) == SITES
        for name, found in block.sites.items():
            x = expected[block.block, name]
            assert found.tokens == len(x) == 48
            assert relative(found.hessian, x.T @ x / len(x)) < 1e-10
            assert relative(found.mean_abs, x.abs().mean(0)) < 1e-10
            assert int(found.histogram.sum()) == x.numel()


def test_capture_is_the_same_bit_for_bit_every_time():
    model = tiny_model()
    first, second = list(capture(model, tiny_windows())), list(capture(model, tiny_windows()))
    for a, b in zip(first, second, strict=True):
        mine, theirs = a.to_tensors(), b.to_tensors()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_capture_continues_where_it_was_stopped():
    model = tiny_model()
    whole = list(capture(model, tiny_windows()))
    rest = list(capture(model, tiny_windows(), skip={0, 1}))
    assert [block.block for block in rest] == [2]
    again, before = rest[0].to_tensors(), whole[2].to_tensors()
    assert all(torch.equal(again[key], before[key]) for key in before)
    assert list(capture(model, tiny_windows(), skip={0, 1, 2})) == []


def test_blocks_behind_the_last_wanted_one_are_not_run():
    model = tiny_model()
    ran = []
    for number, block in enumerate(model.model.layers):
        block.register_forward_hook(lambda *call, number=number: ran.append(number))
    list(capture(model, tiny_windows(), skip={1, 2}))
    assert ran == [0]


def test_statistics_may_be_dropped_block_by_block():
    """The generator holds on to nothing but hidden states between blocks."""
    walk = capture(tiny_model(), tiny_windows())
    first = next(walk)
    assert isinstance(first, BlockStatistics)
    walk.close()


def test_capture_leaves_no_hook_behind():
    model = tiny_model()
    walk = capture(model, tiny_windows())
    next(walk)
    walk.close()
    list(capture(model, tiny_windows()))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_progress_counts_to_its_total():
    told = []
    list(capture(tiny_model(), tiny_windows(), lambda *event: told.append(event)))
    assert [event[:2] for event in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1][2] == "block 3"


def test_activations_that_overflow_are_named():
    model = tiny_model()
    model.model.layers[1].mlp.up_proj.weight.fill_(3e38)
    with pytest.raises(NumericalError, match=r"1.mlp_hidden has NaN or infinite inputs"):
        list(capture(model, tiny_windows()))


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
            surgery.replace_weight(linear, rounded(surgery.float_weight(linear)))

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
            surgery.replace_weight(linear, rounded(surgery.float_weight(linear)))

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
        expected = quantized.T @ inputs_with_a_float_block(model, surgery, site) / len(quantized)
        assert relative(statistics.cross, expected) < 1e-10
        if site.block > 0:
            whole = quantized.T @ float_inputs[key] / len(quantized)
            assert relative(statistics.cross, whole) > 1e-6
        checked.append(key)
        for linear in site.linears:
            surgery.replace_weight(linear, rounded(surgery.float_weight(linear)))

    capture_sequential(model, tiny_windows(), on_site, float_stream=True, from_block=True)
    surgery.restore()
    assert len(checked) == 12


def quarters(x):
    return (x * 4).round() / 4


def inputs_with_a_float_block(model, surgery, site):
    """What the site sees when its block is float and the blocks before it are as they are."""
    linears = [each for item in sites(model) if item.block == site.block for each in item.linears]
    now = {each: linear_module(model, each).weight.data for each in linears}
    for each in linears:
        surgery.replace_weight(each, surgery.float_weight(each))
    surgery.remove_input_maps()
    surgery.map_inputs(lambda item: quarters if item.block < site.block else None)
    seen = inputs_of(model, tiny_windows())[site.block, site.name]
    surgery.remove_input_maps()
    surgery.map_inputs(lambda item: quarters)
    for each, weight in now.items():
        surgery.replace_weight(each, weight)
    return seen
