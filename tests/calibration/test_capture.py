import pytest
import torch

from qcore.calibration.capture import capture
from qcore.calibration.statistics import BlockStatistics
from qcore.errors import NumericalError
from qcore.models.family import SITES
from tests.calibration.helpers_definitions import inputs_of, relative
from tests.models.factories import VARIANTS, tiny_model, tiny_windows


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
