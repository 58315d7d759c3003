import pytest
import torch
from torch import nn

from qcore.errors import UnsupportedModel
from qcore.models.families import (
    FAMILIES,
    block_sites,
    blocks,
    family_of,
    family_of_config,
    linear_module,
    linears,
    sites,
)
from qcore.models.family import SITES
from tests.models.factories import MAKERS, tiny_model, tiny_windows


@pytest.mark.parametrize("name", MAKERS)
def test_every_linear_of_every_block_is_named_once_and_nothing_else_is(name):
    model = tiny_model(name)
    found = [linear.path for linear in linears(model)]
    real = {
        path for path, module in model.model.layers.named_modules() if isinstance(module, nn.Linear)
    }
    assert len(found) == len(set(found)) == 7 * 3
    assert {path.removeprefix("model.layers.") for path in found} == real


def test_names_in_reports_are_block_and_path():
    named = {linear.name: linear for linear in linears(tiny_model())}
    assert named["2.self_attn.q_proj"].path == "model.layers.2.self_attn.q_proj"
    assert named["2.mlp.down_proj"].projection == "down_proj"
    assert named["2.mlp.down_proj"].site == "mlp_hidden"


@pytest.mark.parametrize("name", MAKERS)
def test_linears_of_a_site_read_one_tensor_and_its_producer_writes_it(name):
    model = tiny_model(name)
    read, written = {}, {}
    for linear in linears(model):
        linear_module(model, linear).register_forward_pre_hook(
            lambda module, inputs, path=linear.path: read.__setitem__(path, inputs[0])
        )
    for site in sites(model):
        if site.producer:
            model.get_submodule(site.producer).register_forward_hook(
                lambda module, inputs, output, path=site.producer: written.__setitem__(path, output)
            )
    with torch.no_grad():
        model(tiny_windows())
    for site in sites(model):
        first = read[site.linears[0].path]
        assert all(read[linear.path] is first for linear in site.linears)
        if site.producer:
            assert written[site.producer] is first
        elif len(site.linears) > 1:
            assert not family_of(model).rotates_residual  # they read the residual stream itself


@pytest.mark.parametrize("name", MAKERS)
def test_sites_stand_in_execution_order(name):
    model = tiny_model(name)
    order = []
    for site in sites(model):
        linear_module(model, site.linears[0]).register_forward_pre_hook(
            lambda module, inputs, site=site: order.append((site.block, site.name))
        )
    with torch.no_grad():
        model(tiny_windows())
    assert order == [(site.block, site.name) for site in sites(model)]
    assert [site.name for site in block_sites(model, 1)] == list(SITES)


@pytest.mark.parametrize("name", MAKERS)
def test_a_familys_names_exist_in_its_models(name):
    model = tiny_model(name)
    family = family_of(model)
    assert family is FAMILIES[name] is family_of_config(model.config.to_dict())
    for path in (family.embedding, family.final_norm, family.head, family.backbone):
        model.get_submodule(path)
    for block in blocks(model):
        for path in (*family.head_norms, *family.closing_norms):
            block.get_submodule(path)
        biased = {n.split(".")[1] for n, _ in block.named_parameters() if n.endswith("bias")}
        assert biased == family.biased(model.config.to_dict())


def test_an_unknown_architecture_is_refused_with_what_is_supported():
    with pytest.raises(UnsupportedModel, match=r"'gpt2' is unknown.*Llama.*Qwen2.*Qwen3"):
        family_of_config({"model_type": "gpt2"})
    with pytest.raises(UnsupportedModel, match="'Linear' is unknown"):
        family_of(nn.Linear(2, 2))


def test_another_head_than_language_modelling_is_refused():
    config = {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}
    with pytest.raises(UnsupportedModel, match=r"LlamaForSequenceClassification.*LlamaForCausalLM"):
        family_of_config(config)


def test_weights_that_are_quantized_already_are_refused():
    config = {"model_type": "qwen3", "quantization_config": {"quant_method": "awq"}}
    with pytest.raises(UnsupportedModel, match=r"quantized already by awq"):
        family_of_config(config)
