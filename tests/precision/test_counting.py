import pytest

from qcore.precision.counting import average_bits, layer_shares
from qcore.precision.layers import layer_sizes
from qcore.recipe.precision import Precision
from tests.models.factories import MAKERS, tiny_model
from tests.precision.factories import made_layers

LAYERS = made_layers(blocks=1, hidden=64, keys=32, ffn=96)
# q 4096, k 2048, v 2048, o 4096, gate 6144, up 6144, down 6144: 30720 weights.
MIXED = {layer.name: "int4" for layer in LAYERS} | {"0.mlp.down_proj": "int8"}


def counted(group=None, formats=MIXED, **part):
    asked = Precision(method="uniform", formats=("int4", "int8"), budget=6.0, **part)
    return average_bits(formats, LAYERS, asked, group=group)


def test_weights_count_once_each():
    assert counted(objective="weights") == 4 + 4 * 6144 / 30720


def test_layers_count_once_each_when_asked():
    assert counted(weighting="layers") == pytest.approx(4 + 4 / 7, rel=1e-15)
    assert counted(weighting="layers", objective="both") == counted(weighting="layers")


def test_an_input_counts_once_however_many_layers_read_it():
    # Sites: 64 for q, k and v; 64 for o; 64 for gate and up; 96 for down.
    assert counted(objective="both") == pytest.approx(
        (4 + 4 * 6144 / 30720 + 4 + 4 * 96 / 288) / 2, rel=1e-15
    )
    third = MIXED | {"0.self_attn.k_proj": "int8"}
    more = counted(objective="both", formats=third) - counted(objective="both")
    assert more == pytest.approx((4 * 2048 / 30720 + 4 * 64 / 3 / 288) / 2)


def test_bytes_count_scales_as_storage_holds_them():
    assert counted(objective="bytes", group=32) == counted() + 16 / 32
    scales = sum(16 * layer.outputs for layer in LAYERS) / 30720
    assert counted(objective="bytes") == pytest.approx(counted() + scales, rel=1e-15)


@pytest.mark.parametrize("objective", ["weights", "both", "bytes"])
@pytest.mark.parametrize("weighting", ["size", "layers"])
def test_shares_sum_to_one(objective, weighting):
    part = Precision(method="uniform", budget=6.0, objective=objective, weighting=weighting)
    assert sum(layer_shares(LAYERS, part)) == 1


@pytest.mark.parametrize("family", MAKERS)
def test_a_networks_layers_have_the_names_and_sizes_of_its_linears(family):
    model = tiny_model(family)
    sizes = layer_sizes(model)
    assert len(sizes) == 21
    assert sizes[6].name == "0.mlp.down_proj"
    assert (sizes[6].inputs, sizes[6].outputs, sizes[6].block) == (48, 32, 0)
    total = sum(layer.weights for layer in sizes)
    linears = [p for name, p in model.model.layers.named_parameters() if p.ndim == 2]
    assert total == sum(parameter.numel() for parameter in linears)
