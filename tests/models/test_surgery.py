import pytest
import torch

from qcore.models.families import linear_module, linears, sites
from qcore.models.surgery import Surgery, changed
from tests.models.factories import MAKERS, tiny_model, tiny_windows


def logits(model):
    with torch.no_grad():
        return model(tiny_windows()).logits


@pytest.mark.parametrize("name", MAKERS)
def test_restoring_gives_back_the_same_logits_bit_for_bit(name):
    model = tiny_model(name)
    before = logits(model)
    surgery = Surgery(model)
    for linear in linears(model):
        surgery.replace_weight(linear, torch.zeros_like(linear_module(model, linear).weight))
    surgery.map_inputs(lambda site: torch.round)
    assert not torch.equal(logits(model), before)
    surgery.restore()
    assert torch.equal(logits(model), before)


def test_restoring_points_back_at_the_original_tensor_without_copying():
    model = tiny_model()
    linear = linears(model)[0]
    address = linear_module(model, linear).weight.data_ptr()
    surgery = Surgery(model)
    for _ in range(2):
        surgery.replace_weight(linear, torch.ones(32, 32))
    surgery.restore()
    assert linear_module(model, linear).weight.data_ptr() == address


def test_a_replaced_weight_is_what_the_linear_multiplies_by():
    model = tiny_model()
    linear = linears(model)[4]
    weight = torch.randn(48, 32, dtype=torch.float64)
    x = torch.randn(2, 32)
    with changed(model, {linear: weight}):
        assert torch.equal(linear_module(model, linear)(x), x @ weight.float().T)


def test_a_weight_of_another_shape_is_a_programming_error():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"0.self_attn.q_proj is \(32, 32\), not \(32, 31\)"):
        Surgery(model).replace_weight(linears(model)[0], torch.zeros(32, 31))


@pytest.mark.parametrize("name", MAKERS)
def test_each_sites_input_is_mapped_once_and_all_its_linears_see_it(name):
    model = tiny_model(name)
    calls = []

    def choose(site):
        def ones(x):
            calls.append((site.block, site.name))
            return torch.ones_like(x)

        return ones

    seen = {}
    for linear in linears(model):
        linear_module(model, linear).register_forward_hook(
            lambda module, inputs, output, path=linear.path: seen.__setitem__(path, inputs[0])
        )
    with changed(model, inputs=choose):
        logits(model)
    assert calls == [(site.block, site.name) for site in sites(model)]
    assert all(bool((x == 1).all()) for x in seen.values())


def test_sites_without_a_map_are_left_alone():
    model = tiny_model()
    before = logits(model)
    with changed(model, inputs=lambda site: None):
        assert torch.equal(logits(model), before)


def test_changes_are_taken_back_when_the_block_fails():
    model = tiny_model()
    before = logits(model)
    linear = linears(model)[0]
    with pytest.raises(RuntimeError), changed(model, {linear: torch.zeros(32, 32)}):
        raise RuntimeError
    assert torch.equal(logits(model), before)


def test_tied_embeddings_are_not_touched_by_surgery():
    model = tiny_model(tie_word_embeddings=True)
    weights = {
        linear: torch.zeros(linear_module(model, linear).weight.shape) for linear in linears(model)
    }
    with changed(model, weights):
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert model.lm_head.weight.abs().sum() > 0
