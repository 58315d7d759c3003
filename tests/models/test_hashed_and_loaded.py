"""What is hashed is what is loaded: a folder's digest names one network or is refused."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cache.digest import digest, digest_file
from qcore.errors import BrokenCheckpoint
from qcore.models import loading
from qcore.models.loading import load, resolve
from qcore.models.source import TOKENIZER_FILES
from tests.models.factories import tiny_model, tiny_windows
from tests.models.folders import INDEX, change_weights, edit, ref, write_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_folder(root / "whole")
    write_folder(root / "sharded", shards=True)
    return root


@pytest.fixture
def whole(made, tmp_path):
    return shutil.copytree(made / "whole", tmp_path / "whole")


@pytest.fixture
def sharded(made, tmp_path):
    return shutil.copytree(made / "sharded", tmp_path / "sharded")


def logits(folder, root):
    with torch.no_grad():
        return load(resolve(ref(folder), root), root).model(tiny_windows()).logits


@pytest.fixture
def own():
    with torch.no_grad():
        return tiny_model()(tiny_windows()).logits


@pytest.mark.parametrize("name", ["whole", "sharded"])
def test_a_healthy_folders_digest_is_that_of_its_files_names_and_bytes(made, tmp_path, name):
    folder = made / name
    weights = {path.name for path in folder.glob("*.safetensors")}
    wanted = {"config.json", *TOKENIZER_FILES, INDEX, *weights}
    present = [path for path in folder.iterdir() if path.name in wanted]
    expected = digest({path.name: digest_file(path) for path in present})
    assert resolve(ref(folder), tmp_path).digest == expected


def test_two_checkpoints_in_one_folder_are_refused_by_the_names_of_their_files(sharded, tmp_path):
    shutil.copy(sharded / sorted(p.name for p in sharded.glob("*.safetensors"))[0], tmp_path / "x")
    shutil.move(tmp_path / "x", sharded / "model.safetensors")
    expected = r"two checkpoints: model\.safetensors, and model\.safetensors\.index\.json with mod"
    with pytest.raises(BrokenCheckpoint, match=expected):
        resolve(ref(sharded), tmp_path)
    (sharded / "model.safetensors").rename(tmp_path / "model.safetensors")  # the remedy
    resolve(ref(sharded), tmp_path)


def test_an_index_may_list_the_single_file_itself(whole, tmp_path, own):
    names = load_file(whole / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model.safetensors")}
    (whole / INDEX).write_text(json.dumps(index))
    assert torch.equal(logits(whole, tmp_path), own)


def test_a_shard_called_like_the_single_file_is_one_of_the_shards(whole, tmp_path, own):
    weights = load_file(whole / "model.safetensors")
    moved = {"lm_head.weight": weights.pop("lm_head.weight")}
    save_file(weights, whole / "model.safetensors", metadata={"format": "pt"})
    save_file(moved, whole / "head.safetensors", metadata={"format": "pt"})
    where = {**dict.fromkeys(weights, "model.safetensors"), "lm_head.weight": "head.safetensors"}
    (whole / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert torch.equal(logits(whole, tmp_path), own)


def test_a_tensor_that_lies_in_two_shards_is_refused(sharded, tmp_path):
    first, second = sorted(sharded.glob("*.safetensors"))[:2]
    twice = {**load_file(second), "model.embed_tokens.weight": torch.zeros(300, 32)}
    save_file(twice, second, metadata={"format": "pt"})
    expected = rf"model.embed_tokens.weight lies in {first.name} and in {second.name}"
    with pytest.raises(BrokenCheckpoint, match=expected):
        resolve(ref(sharded), tmp_path)


def test_an_older_downloads_shards_take_no_part_and_are_named(sharded, tmp_path, own):
    old = sharded / "model-00001-of-00099.safetensors"
    save_file({"model.norm.weight": torch.zeros(32)}, old, metadata={"format": "pt"})
    source = resolve(ref(sharded), tmp_path)
    assert f"not read: {old.name}" in " ".join(source.notes)
    assert torch.equal(logits(sharded, tmp_path), own)


@pytest.mark.parametrize(
    "name",
    [
        "consolidated.safetensors",
        "model-int8.safetensors",
        "model-Q4_0.gguf",
        "pytorch_model.bin",
        "Model.safetensors",
    ],
)
def test_other_weights_beside_the_networks_take_no_part_and_are_named(whole, tmp_path, own, name):
    before = resolve(ref(whole), tmp_path)
    (whole / name).write_bytes(b"another network")
    source = resolve(ref(whole), tmp_path)
    assert source.digest == before.digest
    assert source.notes == (f"The network is that of model.safetensors; not read: {name}.",)
    assert torch.equal(logits(whole, tmp_path), own)


def test_an_adapter_beside_the_network_is_not_applied(whole, tmp_path, own):
    # Loaders follow base_model_name_or_path, where their adapter library is installed.
    (whole / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../else"}))
    save_file({"a": torch.zeros(1)}, whole / "adapter_model.safetensors")
    assert "not read: adapter_model.safetensors" in resolve(ref(whole), tmp_path).notes[0]
    assert torch.equal(logits(whole, tmp_path), own)


def test_an_adapter_alone_is_refused_as_one(whole, tmp_path):
    (whole / "model.safetensors").rename(whole / "adapter_model.safetensors")
    with pytest.raises(BrokenCheckpoint, match=r"holds an adapter .* merge it"):
        resolve(ref(whole), tmp_path)


def test_shards_without_their_index_are_refused_with_what_is_missing(sharded, tmp_path):
    (sharded / INDEX).unlink()
    with pytest.raises(BrokenCheckpoint, match=r"model-00001.* no model\.safetensors\.index\.json"):
        resolve(ref(sharded), tmp_path)


@pytest.mark.parametrize("name", ["Model.safetensors", "model.fp32.safetensors"])
def test_one_file_of_another_name_is_refused_with_the_name_it_needs(whole, tmp_path, own, name):
    (whole / "model.safetensors").rename(whole / name)
    with pytest.raises(BrokenCheckpoint, match=rf"rename {name} to model\.safetensors"):
        resolve(ref(whole), tmp_path)
    (whole / name).rename(whole / "model.safetensors")  # the remedy
    assert torch.equal(logits(whole, tmp_path), own)


def test_a_shard_whose_name_differs_in_case_is_refused_with_its_right_name(sharded, tmp_path):
    shard = sorted(sharded.glob("*.safetensors"))[0]
    shard.rename(sharded / shard.name.upper())
    with pytest.raises(BrokenCheckpoint, match=rf"missing, {shard.name}.*rename MODEL-00001"):
        resolve(ref(sharded), tmp_path)


def test_a_config_cannot_send_the_loader_to_other_files(whole, tmp_path, own):
    save_file({"model.norm.weight": torch.zeros(32)}, whole / "other.safetensors")
    (whole / "config.4.0.0.json").write_text((whole / "config.json").read_text())
    edit(whole / "config.4.0.0.json", rms_norm_eps=0.5)
    edit(
        whole / "config.json",
        transformers_weights="other.safetensors",
        configuration_files=["config.4.0.0.json"],
    )
    assert torch.equal(logits(whole, tmp_path), own)


def test_a_tokenizer_config_cannot_send_the_loader_to_other_files(whole, tmp_path):
    tokens = load(resolve(ref(whole), tmp_path), tmp_path).tokenizer("rain")["input_ids"]
    (whole / "tokenizer.4.0.0.json").write_text("{}")
    edit(whole / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    source = resolve(ref(whole), tmp_path)
    assert load(source, tmp_path).tokenizer("rain")["input_ids"] == tokens


def test_settings_for_generating_text_are_not_read(whole, tmp_path, own):
    (whole / "generation_config.json").write_text('{"temperature": "hot", "max_length": []}')
    assert torch.equal(logits(whole, tmp_path), own)


def test_a_symbolic_link_counts_by_what_it_leads_to(whole, tmp_path, own):
    before = resolve(ref(whole), tmp_path).digest
    (whole / "model.safetensors").rename(tmp_path / "blob")
    (whole / "model.safetensors").symlink_to(tmp_path / "blob")
    assert resolve(ref(whole), tmp_path).digest == before
    assert torch.equal(logits(whole, tmp_path), own)
    other = write_folder(tmp_path / "other")
    change_weights(other, **{"model.norm.weight": torch.zeros(32)})
    (whole / "model.safetensors").unlink()
    (whole / "model.safetensors").symlink_to(other / "model.safetensors")
    assert resolve(ref(whole), tmp_path).digest != before


def test_files_that_changed_after_they_were_hashed_are_refused(whole, tmp_path):
    source = resolve(ref(whole), tmp_path)
    change_weights(whole, **{"model.norm.weight": torch.zeros(32)})
    with pytest.raises(BrokenCheckpoint, match="changed after the run had begun"):
        load(source, tmp_path)


def test_files_that_change_while_they_are_loaded_are_refused(whole, tmp_path, monkeypatch):
    real = loading._tokenizer

    def tokenizer(*given):
        change_weights(whole, **{"model.norm.weight": torch.zeros(32)})
        return real(*given)

    monkeypatch.setattr(loading, "_tokenizer", tokenizer)
    with pytest.raises(BrokenCheckpoint, match="changed after the run had begun"):
        load(resolve(ref(whole), tmp_path), tmp_path)


def test_a_network_whose_files_are_written_to_says_so(whole, tmp_path):
    network = load(resolve(ref(whole), tmp_path), tmp_path)
    network.require_unchanged()
    with (whole / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(bytes(4))
    with pytest.raises(BrokenCheckpoint, match="changed after the run had begun"):
        network.require_unchanged()


def test_a_change_that_keeps_size_and_time_is_noticed(whole, tmp_path):
    path = whole / "model.safetensors"
    before, status = resolve(ref(whole), tmp_path).digest, path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve(ref(whole), tmp_path).digest != before
