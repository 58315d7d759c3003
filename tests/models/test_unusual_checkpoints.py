"""Folders as the field has them: quantized already, with tensors too many, or contradictory."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qcore.errors import BrokenCheckpoint, UnsupportedModel
from qcore.models.expected import expected_shapes, sizes_of
from qcore.models.families import FAMILIES
from qcore.models.headers import check_safetensors
from qcore.models.loading import load, resolve
from tests.models.factories import VARIANTS, tiny_model, tiny_windows
from tests.models.folders import change_weights, edit, ref, write_folder

UP = "model.layers.1.mlp.up_proj"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


def logits(folder, root):
    with torch.no_grad():
        return load(resolve(ref(folder), root), root).model(tiny_windows()).logits


@pytest.fixture
def own():
    with torch.no_grad():
        return tiny_model()(tiny_windows()).logits


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_familys_tensors_follow_from_its_config(variant):
    family, more = VARIANTS[variant]
    model = tiny_model(family, **more)
    config = json.loads(model.config.to_json_string(use_diff=False))
    sizes = sizes_of(config)
    assert sizes is not None
    expected = expected_shapes(config, FAMILIES[family], sizes)
    assert expected == {name: tuple(item.shape) for name, item in model.state_dict().items()}


PACKED = {
    "GPTQ or AWQ": {f"{UP}.qweight": torch.zeros(4, 48, dtype=torch.int32)},
    "compressed-tensors": {f"{UP}.weight_packed": torch.zeros(48, 4, dtype=torch.int32)},
    "FP8": {f"{UP}.weight_scale_inv": torch.ones(1, 1)},
    "HQQ": {f"{UP}.W_q": torch.zeros(4, 4, dtype=torch.uint8)},
    "bitsandbytes": {f"{UP}.SCB": torch.ones(48)},
    "quanto": {f"{UP}.weight._data": torch.zeros(48, 32, dtype=torch.int8)},
}


@pytest.mark.parametrize("method", PACKED)
def test_packed_tensors_are_refused_as_quantized_already(folder, tmp_path, method):
    change_weights(folder, **{f"{UP}.weight": None, **PACKED[method]})
    with pytest.raises(UnsupportedModel, match=rf"quantized already by {method}: it holds {UP}"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_weights_that_are_no_plain_floats_are_refused_as_quantized_already(folder, tmp_path, dtype):
    change_weights(folder, **{f"{UP}.weight": torch.zeros(48, 32, dtype=dtype)})
    with pytest.raises(UnsupportedModel, match=rf"quantized already by .*{UP}.weight is "):
        resolve(ref(folder), tmp_path)


SETTINGS = {
    "quantize_config.json": "GPTQ",
    "quant_config.json": "AWQ",
    "hf_quant_config.json": "ModelOpt",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_tools_settings_explain_tensors_that_are_missing(folder, tmp_path, name):
    change_weights(folder, **{f"{UP}.weight": None})
    (folder / name).write_text("{}")
    with pytest.raises(UnsupportedModel, match=rf"quantized already by {SETTINGS[name]}: .*{name}"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_tools_settings_beside_float_weights_prove_nothing(folder, tmp_path, own, name):
    (folder / name).write_text("{}")
    assert torch.equal(logits(folder, tmp_path), own)


@pytest.mark.parametrize(
    ("key", "value", "method"),
    [
        ("quantization_config", {"quant_method": "gptq", "bits": 4}, "gptq"),
        ("quantization_config", "fp8", "fp8"),
        ("quantization_config", ["fp8"], "an unknown method"),
        ("quantization_config", {"quant_method": ["x"]}, "an unknown method"),
        ("quantization_config", 7, "an unknown method"),
        ("compression_config", {"format": "pack-quantized"}, "compressed-tensors"),
    ],
)
def test_a_config_that_says_quantized_is_believed(folder, tmp_path, key, value, method):
    edit(folder / "config.json", **{key: value})
    with pytest.raises(UnsupportedModel, match=rf"quantized already by {method}: {key}"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("value", [None, {}, [], ""])
def test_an_empty_quantization_config_says_nothing(folder, tmp_path, own, value):
    edit(folder / "config.json", quantization_config=value)
    assert torch.equal(logits(folder, tmp_path), own)


HARMLESS = {
    "another task's head": {"score.weight": torch.ones(2, 32)},
    "zero biases of a converter": {
        f"{UP}.bias": torch.zeros(48),
        "model.layers.0.self_attn.q_proj.bias": torch.zeros(32),
        "lm_head.bias": torch.zeros(300),
    },
    "frequencies": {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)},
    "heads for several tokens": {"mtp.layers.0.weight": torch.ones(3)},
}


@pytest.mark.parametrize("what", HARMLESS)
def test_tensors_without_a_place_are_left_out_and_named(folder, tmp_path, own, what):
    change_weights(folder, **HARMLESS[what])
    (note,) = resolve(ref(folder), tmp_path).notes
    assert all(name in note for name in HARMLESS[what])
    assert torch.equal(logits(folder, tmp_path), own)


def test_blocks_beyond_a_lowered_number_are_left_out_and_named(folder, tmp_path):
    edit(folder / "config.json", num_hidden_layers=2)
    source = resolve(ref(folder), tmp_path)
    (note,) = source.notes
    assert "more decoder blocks than the 2" in note
    assert "model.layers.2." in note
    assert len(load(source, tmp_path).model.model.layers) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_bias_is_zero_in_every_type_when_its_values_are(tmp_path, dtype):
    least = torch.zeros(9, dtype=dtype)
    least[4] = torch.finfo(dtype).smallest_normal
    cases = {"zero": torch.zeros(9), "minus": -torch.zeros(9), "least": least, "one": torch.ones(9)}
    path = tmp_path / "a.safetensors"
    save_file({name: value.to(dtype) for name, value in cases.items()}, path)
    found = {stored.name: stored.is_zero() for stored in check_safetensors(path)}
    assert found == {"zero": True, "minus": True, "least": False, "one": False}


CHANGING = {
    "a bias": {f"{UP}.bias": torch.full((48,), 1e-3)},
    "head norms": {"model.layers.0.self_attn.q_norm.weight": torch.ones(8)},
    "an adapter": {f"{UP}.lora_A.weight": torch.zeros(2, 32)},
    "a bias of the head": {"lm_head.bias": torch.ones(300)},
}


@pytest.mark.parametrize("what", CHANGING)
def test_tensors_that_would_change_the_network_are_refused(folder, tmp_path, what):
    change_weights(folder, **CHANGING[what])
    (name,) = CHANGING[what]
    with pytest.raises(BrokenCheckpoint, match=rf"would change it: {name}; use the config.json"):
        resolve(ref(folder), tmp_path)


def test_a_backbone_saved_without_its_prefix_loads(folder, tmp_path):
    edit(folder / "config.json", tie_word_embeddings=True)
    path = folder / "model.safetensors"
    weights = {name.removeprefix("model."): tensor for name, tensor in load_file(path).items()}
    del weights["lm_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    source = resolve(ref(folder), tmp_path)
    assert source.notes == ()
    assert torch.equal(
        load(source, tmp_path).model.model.norm.weight, tiny_model().model.norm.weight
    )


def test_a_missing_head_is_refused_with_what_mends_it(folder, tmp_path):
    change_weights(folder, **{"lm_head.weight": None})
    with pytest.raises(BrokenCheckpoint, match=r"lm_head.weight; set \"tie_word_embeddings\""):
        resolve(ref(folder), tmp_path)
    edit(folder / "config.json", tie_word_embeddings=True)  # the remedy
    load(resolve(ref(folder), tmp_path), tmp_path)


def test_a_shape_that_contradicts_the_config_is_refused_with_both(folder, tmp_path):
    edit(folder / "config.json", intermediate_size=64)
    expected = r"9 tensors are mismatched: .*down_proj.weight is 32 × 48, .* says 32 × 64"
    with pytest.raises(BrokenCheckpoint, match=expected):
        resolve(ref(folder), tmp_path)


def test_more_blocks_than_tensors_are_refused_at_once(folder, tmp_path):
    edit(folder / "config.json", num_hidden_layers=10**9)
    with pytest.raises(BrokenCheckpoint, match=r"decoder blocks, and the weights are 30 tensors"):
        resolve(ref(folder), tmp_path)
