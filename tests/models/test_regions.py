"""Regions name the places where a transform enters and leaves."""

import pytest

from qcore.models.families import linears
from qcore.models.folding import norms
from qcore.models.regions import dimensions, regions
from tests.models.factories import MAKERS, OWN, tiny_model


@pytest.mark.parametrize("family", MAKERS)
def test_the_residual_stream_is_written_and_read_by_everything_outside_the_blocks(family):
    model = tiny_model(family)
    residual = regions(model)[0]
    inside = [item.path for item in linears(model)]
    writers = [path for path in inside if path.endswith(("o_proj", "down_proj"))]
    readers = [path for path in inside if path not in writers]
    assert residual.name == residual.place == "residual"
    assert set(residual.producers) == {"model.embed_tokens", *writers}
    assert set(residual.consumers) == {"lm_head", *readers}


@pytest.mark.parametrize("family", MAKERS)
def test_every_block_has_its_four_regions(family):
    model = tiny_model(family)
    found = {region.name: region for region in regions(model)[1:]}
    places = ("values", "hidden_channels", "attention_output", "mlp_hidden")
    assert list(found) == [f"{block}.{place}" for block in range(3) for place in places]
    values, online = found["2.values"], found["2.mlp_hidden"]
    assert values.producers == ("model.layers.2.self_attn.v_proj",)
    assert values.consumers == ("model.layers.2.self_attn.o_proj",)
    assert (values.axis, values.width) == ("heads", OWN.get(family, {}).get("head_dim", 8))
    assert (online.producers, online.kind, online.place) == ((), "online", "mlp_hidden")


@pytest.mark.parametrize("family", MAKERS)
def test_dimensions_are_those_of_the_weights(family):
    model = tiny_model(family)
    size, attention = dimensions(model), model.model.layers[0].self_attn
    assert attention.o_proj.weight.shape == (size.hidden, size.attention)
    assert attention.v_proj.weight.shape == (size.kv_heads * size.head_dim, size.hidden)
    assert model.model.layers[0].mlp.down_proj.weight.shape == (size.hidden, size.intermediate)
    assert (size.sharing, size.blocks) == (2, 3)


def test_every_reader_of_the_residual_stream_has_a_norm_before_it():
    model = tiny_model("llama")
    assert set(norms(model)) == set(regions(model)[0].consumers)
    assert norms(model)["lm_head"] == "model.norm"
    assert norms(model)["model.layers.1.mlp.up_proj"] == "model.layers.1.post_attention_layernorm"
