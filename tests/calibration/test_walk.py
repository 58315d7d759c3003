import pytest
import torch

from qcore.calibration import walk
from qcore.calibration.walk import Stream
from qcore.models.families import blocks, linear_module, linears
from qcore.numerics.head import head_of
from tests.models.factories import VARIANTS, tiny_model, tiny_windows


def walked(model, windows, **options):
    """Logits after walking all blocks, the final norm and the head."""
    stream = Stream(model, windows, **options)
    for block in range(len(blocks(model))):
        for _ in stream.advance(block):
            pass
    with torch.no_grad():
        return head_of(model)(model.model.norm(stream.hidden))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_walking_all_blocks_reproduces_the_models_logits_exactly(variant, dtype):
    family, more = VARIANTS[variant]
    model = tiny_model(family, dtype, **more)
    with torch.no_grad():
        expected = model(tiny_windows(), use_cache=False).logits
    assert torch.equal(walked(model, tiny_windows()), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_steps_do_not_change_what_comes_out(variant, monkeypatch):
    family, more = VARIANTS[variant]
    model = tiny_model(family, torch.float64, **more)
    windows = tiny_windows(5, 16)
    whole = walked(model, windows)
    monkeypatch.setattr(walk, "TOKENS_AT_ONCE", 32)  # two windows, two, and one left over
    torch.testing.assert_close(walked(model, windows), whole, rtol=1e-12, atol=1e-12)


def test_large_hidden_states_live_in_a_nameless_file(tmp_path):
    model = tiny_model()
    expected = walked(model, tiny_windows())
    on_disk = walked(model, tiny_windows(), scratch=tmp_path, in_memory=0)
    assert torch.equal(on_disk, expected)
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_left_as_it_was():
    model = tiny_model()
    before = dict(model.named_modules())
    Stream(model, tiny_windows())
    after = dict(model.named_modules())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_the_blocks_come_back_when_the_backbone_fails():
    model = tiny_model()
    real = blocks(model)
    with pytest.raises(IndexError):
        Stream(model, torch.full((1, 4), 10_000))
    assert blocks(model) is real


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_readers_inputs_are_those_of_a_plain_forward(variant):
    family, more = VARIANTS[variant]
    model = tiny_model(family, **more)
    read = {}
    handles = [
        linear_module(model, linear).register_forward_pre_hook(
            lambda module, inputs, name=linear.name: read.__setitem__(name, inputs[0])
        )
        for linear in linears(model)
    ]
    with torch.no_grad():
        model(tiny_windows(), use_cache=False)
    for handle in handles:
        handle.remove()
    stream = Stream(model, tiny_windows())
    for block in range(len(blocks(model))):
        for linear in linears(model):
            if linear.block == block:
                found = torch.cat(list(stream.inputs(block, linear_module(model, linear))))
                assert torch.equal(found, read[linear.name].flatten(0, 1))
        for _ in stream.advance(block):
            pass
