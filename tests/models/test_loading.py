import json
import os
import shutil
import struct

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from qcore.errors import BrokenCheckpoint, ModelError, UnsafeWeights, UnsupportedModel
from qcore.models import source as source_module
from qcore.models.folder import check_safetensors
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef
from tests.models.factories import MAKERS, tiny_model, tiny_tokenizer, tiny_windows


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """One checkpoint folder per family."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name in MAKERS:
        tiny_model(name).save_pretrained(root / name)
        tiny_tokenizer().save_pretrained(root / name)
    return root


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of the Llama checkpoint to be spoilt."""
    return shutil.copytree(checkpoints / "llama", tmp_path / "model")


def ref(folder):
    return ModelRef("folder", str(folder))


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_loads_to_the_network_that_was_saved(name, checkpoints, tmp_path):
    source = resolve(ref(checkpoints / name), tmp_path)
    network = load(source, tmp_path)
    with torch.no_grad():
        assert torch.equal(
            network.model(tiny_windows()).logits, tiny_model(name)(tiny_windows()).logits
        )
    assert network.family.model_type == name
    assert (source.family, source.label, source.revision) == (network.family.name, name, None)
    assert not network.model.training
    assert not any(parameter.requires_grad for parameter in network.model.parameters())
    assert network.tokenizer("rain")["input_ids"]


def test_a_network_computes_in_the_dtype_asked_for(checkpoints, tmp_path):
    source = resolve(ref(checkpoints / "llama"), tmp_path)
    network = load(source, tmp_path, dtype="bfloat16")
    assert {p.dtype for p in network.model.parameters()} == {torch.bfloat16}


def test_progress_is_told(checkpoints, tmp_path):
    told = []
    source = resolve(ref(checkpoints / "llama"), tmp_path)
    load(source, tmp_path, progress=lambda *event: told.append(event))
    assert told == [(0, 1, "loading llama"), (1, 1, "loaded llama")]


def test_the_digest_follows_the_weights_and_nothing_else(folder, tmp_path):
    before = resolve(ref(folder), tmp_path).digest
    (folder / "README.md").write_text("unrelated")
    assert resolve(ref(folder), tmp_path).digest == before
    moved = folder.rename(tmp_path / "moved")
    assert resolve(ref(moved), tmp_path).digest == before
    weights = load_file(moved / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    assert resolve(ref(moved), tmp_path).digest != before


def test_the_tokenizer_and_the_config_are_part_of_the_digest(folder, tmp_path):
    seen = {resolve(ref(folder), tmp_path).digest}
    edit(folder / "config.json", rms_norm_eps=1e-3)
    seen.add(resolve(ref(folder), tmp_path).digest)
    edit(folder / "tokenizer_config.json", model_max_length=7)
    seen.add(resolve(ref(folder), tmp_path).digest)
    assert len(seen) == 3


def test_an_unchanged_file_is_hashed_once(folder, tmp_path, monkeypatch):
    first = resolve(ref(folder), tmp_path)
    monkeypatch.setattr(source_module, "digest_file", lambda path: pytest.fail(f"hashed {path}"))
    assert resolve(ref(folder), tmp_path) == first


def test_a_damaged_memo_costs_time_only(folder, tmp_path):
    first = resolve(ref(folder), tmp_path)
    (tmp_path / "models" / "digests.json").write_text('{"x": 1')
    assert resolve(ref(folder), tmp_path) == first
    (tmp_path / "models" / "digests.json").write_text('{"x": 1}')
    assert resolve(ref(folder), tmp_path) == first


def test_sharded_weights_load(checkpoints, tmp_path):
    tiny_model().save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    tiny_tokenizer().save_pretrained(tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    network = load(resolve(ref(tmp_path / "sharded"), tmp_path), tmp_path)
    with torch.no_grad():
        assert torch.equal(
            network.model(tiny_windows()).logits, tiny_model()(tiny_windows()).logits
        )


def test_a_missing_shard_is_refused_by_name(tmp_path):
    folder = tmp_path / "sharded"
    tiny_model().save_pretrained(folder, max_shard_size="40KB")
    tiny_tokenizer().save_pretrained(folder)
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(BrokenCheckpoint, match=rf"1 of \d+ weight files are missing, {lost.name}"):
        resolve(ref(folder), tmp_path)


def test_an_index_that_points_outside_the_folder_is_refused(folder, tmp_path):
    shutil.copy(folder / "model.safetensors", tmp_path / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BrokenCheckpoint, match="are missing"):
        resolve(ref(folder), tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BrokenCheckpoint, match=r"does not exist; name a folder"):
        resolve(ref(tmp_path / "nowhere"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokenCheckpoint, match="is a file"):
        resolve(ref(tmp_path / "file"), tmp_path)


def test_a_folder_without_a_config_is_refused(folder, tmp_path):
    (folder / "config.json").unlink()
    with pytest.raises(BrokenCheckpoint, match=r"has no config.json"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_config_that_is_no_json_object_is_refused(folder, tmp_path, text):
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BrokenCheckpoint, match=r"config.json"):
        resolve(ref(folder), tmp_path)


def test_an_unknown_architecture_is_refused(folder, tmp_path):
    edit(folder / "config.json", model_type="mamba")
    with pytest.raises(UnsupportedModel, match=r"'mamba' is unknown.*Llama"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder, tmp_path, name):
    edit(folder / name, auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(UnsafeWeights, match=rf"{name} names code of its own"):
        resolve(ref(folder), tmp_path)


class Bomb:
    """Unpickling this creates the file that it names."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickled_checkpoint_is_refused_and_never_opened(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": Bomb(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match=r"pickled weights only \(pytorch_model.bin\)"):
        resolve(ref(folder), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_beside_safetensors_are_not_read(folder, tmp_path):
    torch.save({"model.norm.weight": Bomb(tmp_path / "ran")}, folder / "pytorch_model.bin")
    load(resolve(ref(folder), tmp_path), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_weights_is_refused(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BrokenCheckpoint, match=r"no model\.safetensors"):
        resolve(ref(folder), tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(folder, tmp_path):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BrokenCheckpoint, match="has no tokenizer"):
        resolve(ref(folder), tmp_path)


def test_a_tokenizer_that_cannot_be_parsed_is_refused(folder, tmp_path):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BrokenCheckpoint, match=r"the tokenizer in .* cannot be loaded"):
        load(resolve(ref(folder), tmp_path), tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 2000, -1])
def test_a_truncated_safetensors_file_is_refused_before_it_is_loaded(folder, tmp_path, keep):
    path = folder / "model.safetensors"
    os.truncate(path, keep if keep >= 0 else path.stat().st_size - 1)
    with pytest.raises(BrokenCheckpoint, match=r"model.safetensors is damaged.*download it again"):
        resolve(ref(folder), tmp_path)


def test_bytes_after_the_last_tensor_are_refused(folder, tmp_path):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BrokenCheckpoint, match="damaged"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}',
    ],
)
def test_a_safetensors_header_that_contradicts_itself_is_refused(tmp_path, header):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(BrokenCheckpoint, match=r"a\.safetensors is damaged"):
        check_safetensors(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(folder, tmp_path, value):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenCheckpoint, match=r"layers.1.mlp.up_proj.weight holds 1 NaN or inf"):
        load(resolve(ref(folder), tmp_path), tmp_path)


def test_missing_tensors_are_refused_not_made_up(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenCheckpoint, match=r"1 tensor is missing: model.layers.1.mlp.up_proj"):
        load(resolve(ref(folder), tmp_path), tmp_path)


def test_tensors_of_another_shape_than_the_config_says_are_refused(folder, tmp_path):
    edit(folder / "config.json", intermediate_size=64)
    with pytest.raises(BrokenCheckpoint, match=r"cannot be loaded|mismatched"):
        load(resolve(ref(folder), tmp_path), tmp_path)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(checkpoints, tmp_path, monkeypatch):
    """A Hub cache that holds one model, and no network."""
    cache = tmp_path / "hub"
    repository = cache / "models--someone--tiny"
    shutil.copytree(checkpoints / "qwen3", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_cached_hub_model_loads_without_a_network(hub, tmp_path, revision, checkpoints):
    source = resolve(ModelRef("hub", "someone/tiny", revision), tmp_path)
    assert source.revision == COMMIT
    assert (source.label, source.family) == ("someone/tiny", "Qwen3")
    assert source.digest == resolve(ref(checkpoints / "qwen3"), tmp_path).digest
    assert load(source, tmp_path).family.name == "Qwen3"


@pytest.mark.parametrize(
    ("name", "revision"), [("someone/else", None), ("someone/tiny", "another-branch")]
)
def test_a_hub_model_that_is_not_cached_fails_offline_with_what_works_offline(
    hub, tmp_path, name, revision
):
    with pytest.raises(ModelError, match=rf"{name}.*cache.*demo model or a local folder"):
        resolve(ModelRef("hub", name, revision), tmp_path)


def test_a_name_that_is_no_hub_id_is_refused(hub, tmp_path):
    with pytest.raises(ModelError, match="no Hub id"):
        resolve(ModelRef("hub", "a b/../c"), tmp_path)
