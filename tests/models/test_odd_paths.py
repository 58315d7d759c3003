"""Names and files that no checkpoint has: each is a sentence, at once."""

import os
import shutil
import socket
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from qcore.calibration.text import LARGEST_TEXT
from qcore.cli.runs import LARGEST_RECIPE
from qcore.errors import BrokenCheckpoint, InvalidRecipe, ModelError
from qcore.models import files, headers
from qcore.models import folder as folder_module
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef
from tests.models.folders import ref, write_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


NAMES = {
    "too long": "n" * 300,
    "far too long": "/x" * 5000,
    "of nobody": "~nosuchuser/model",
    "with control characters": "a\x1b[31mb\n",
}


@pytest.mark.parametrize("what", NAMES)
def test_a_name_that_can_be_no_folder_is_a_sentence(tmp_path, what):
    with pytest.raises(BrokenCheckpoint, match=r"name a folder with config\.json") as found:
        resolve(ModelRef("folder", NAMES[what]), tmp_path)
    assert len(str(found.value)) < 600
    assert str(found.value).isprintable()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("source", ["folder", "hub"])
def test_a_name_that_no_file_can_have_is_no_recipe(name, source):
    with pytest.raises(InvalidRecipe, match="which no name has; write it without"):
        ModelRef(source, name)
    with pytest.raises(InvalidRecipe, match="which no name has"):
        ModelRef("hub", "someone/tiny", name)


def test_links_that_go_round_in_circles_are_a_sentence(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BrokenCheckpoint, match="is no path here"):
        resolve(ref(tmp_path / "loop"), tmp_path)


@pytest.mark.parametrize(
    "revision", ["", "../../etc", "a\nb", "r" * 300, "-x", "/etc/passwd", "a..b", "~"]
)
def test_a_revision_that_leads_elsewhere_is_refused(tmp_path, monkeypatch, revision):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is no revision; name a branch, a tag or a commit"):
        resolve(ModelRef("hub", "someone/tiny", revision), tmp_path)


@pytest.mark.parametrize("name", ["a/b/c", "x" * 300, "someone/\x1b", "~", "/etc/passwd"])
def test_a_hub_id_that_is_none_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="is no Hub id") as found:
        resolve(ModelRef("hub", name), tmp_path)
    assert str(found.value).isprintable()


def pipe(path):
    os.mkfifo(path)


def listener(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.close()


ODD = {
    "a pipe": pipe,
    "a socket": listener,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "cannot be read: No such file": lambda path: path.symlink_to("nowhere"),
}
FILES = ["config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"]


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_inside_a_checkpoint_is_refused_at_once(folder, tmp_path, name, what):
    (folder / name).unlink()
    ODD[what](folder / name)
    with pytest.raises(BrokenCheckpoint, match=what):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("what", ODD)
def test_an_index_that_is_no_file_is_refused_at_once(folder, tmp_path, what):
    ODD[what](folder / "model.safetensors.index.json")
    with pytest.raises(BrokenCheckpoint, match=what):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("what", ODD)
def test_a_file_that_takes_no_part_may_be_anything(folder, tmp_path, what):
    ODD[what](folder / "notes.txt")
    load(resolve(ref(folder), tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("config.json", files.LARGEST_JSON), ("tokenizer.json", files.LARGEST_TOKENIZER)],
)
def test_a_file_larger_than_any_real_one_is_refused_with_both_numbers(
    folder, tmp_path, name, limit
):
    with (folder / name).open("r+b") as file:
        file.truncate(limit + 1)  # a hole: no disk is used
    with pytest.raises(BrokenCheckpoint, match=rf"has {limit + 1} bytes, and at most {limit}"):
        resolve(ref(folder), tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_read_says_so(folder, tmp_path, name):
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    (folder / name).chmod(0)
    with pytest.raises(BrokenCheckpoint, match="Permission denied"):
        resolve(ref(folder), tmp_path)


def test_a_folder_of_more_files_than_any_checkpoint_has_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "_MOST_FILES", 5)
    for number in range(6):
        (folder / str(number)).touch()
    with pytest.raises(BrokenCheckpoint, match="has more than 5 files"):
        resolve(ref(folder), tmp_path)


def test_a_hub_cache_that_may_not_be_written_is_not_called_a_full_disk(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=r"Permission denied; set HF_HUB_CACHE to a folder that"):
        resolve(ModelRef("hub", "someone/tiny"), tmp_path)


def test_the_limits_that_are_promised_are_those_that_hold():
    promised = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    for limit in (
        LARGEST_TEXT,
        files.LARGEST_JSON,
        files.LARGEST_TOKENIZER,
        headers._LARGEST_HEADER,
        LARGEST_RECIPE,
        folder_module._MOST_FILES,
    ):
        assert f"{limit:,}" in promised
