"""Every bad input is one sentence on standard error: a fact, and what to do; never a traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from qcore import cli
from tests.pipeline.factories import Workshop

Data = dict[str, Any]


def checkpoint(change: Callable[[Path], object]) -> Callable[[Data, Path], None]:
    """The recipe on a copy of the checkpoint after `change`."""

    def prepare(data: Data, folder: Path) -> None:
        copy = Path(shutil.copytree(data["model"]["name"], folder / "model"))
        change(copy)
        data["model"]["name"] = str(copy)

    return prepare


def text(content: bytes) -> Callable[[Data, Path], None]:
    """The recipe on a text of that content."""

    def prepare(data: Data, folder: Path) -> None:
        (folder / "text.txt").write_bytes(content)
        data["evaluation"]["text"] = f"file:{folder / 'text.txt'}"

    return prepare


def field(**parts: Any) -> Callable[[Data, Path], None]:
    """The recipe with other parts."""
    return lambda data, folder: data.update(parts)


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _rename(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "mamba"}))


def _poison(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


REFUSALS = {
    "no config": (checkpoint(lambda folder: (folder / "config.json").unlink()), "no config.json"),
    "truncated weights": (checkpoint(_cut), "model.safetensors is damaged: it has 5000 bytes"),
    "pickled weights": (checkpoint(_pickle), "pickled weights only (pytorch_model.bin)"),
    "unknown architecture": (checkpoint(_rename), "architecture 'mamba' is unknown"),
    "no such folder": (checkpoint(shutil.rmtree), "does not exist"),
    "empty text": (text(b" \n"), "is empty (2 bytes)"),
    "text of another encoding": (text(b"na\xefve"), "is not UTF-8: byte 2 of 5 is 0xef"),
    "short text": (text(b"Too short."), "tokens, and 3 windows of 24 need 72"),
    "group that does not divide": (
        field(weights={"format": "int4", "group": 32}),
        "group 32 of int4 does not divide 48 (the layers' inputs are 32 and 48 wide); choose 16",
    ),
    "a NaN weight": (
        checkpoint(_poison),
        "model.layers.1.mlp.down_proj.weight holds 1 NaN or infinite weights",
    ),
    "rotation block that does not divide": (
        field(rotation={"block": 32}),
        "block 32 does not divide 48, the width of down_proj's input; choose 16",
    ),
    "rotation block without a Hadamard matrix": (
        field(rotation={"block": 6}),
        "no Hadamard matrix of order 6 is known",
    ),
    "expansion over 100 %": (
        field(rotation={}, expansion={"percent": 100.5}),
        "an expansion of 100.5 % is out of range",
    ),
    "negative expansion": (
        field(rotation={}, expansion={"percent": -1}),
        "an expansion of -1 % is out of range",
    ),
    "expansion of nothing": (
        field(rotation={"r4": False}, expansion={"percent": 5}),
        "expansion widens the input of an online rotation",
    ),
    "permutation without a capture": (
        field(rotation={"block": 16}, permutation={}, calibration=None),
        "needs E|x|",
    ),
    "values permuted behind R2": (
        field(rotation={"block": 16, "o_proj": True}, permutation={"values": True}),
        "no R2 has mixed before",
    ),
    "block that does not divide": (field(weights={"format": "mxfp4"}), "does not divide 48"),
    "unknown field": (field(weights={"format": "int4", "colour": "red"}), "colour"),
    "unknown part": (field(colours={}), "colours"),
    "unknown format": (field(weights={"format": "int9"}), "int9"),
    "list where a value belongs": (field(weights={"format": ["int4", "int8"]}), "weights.format"),
    "impossible combination": (field(calibration=None, rounding={"method": "gptq"}), "calibration"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_refused_in_one_sentence(
    shop: Workshop, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare, fact = REFUSALS[case]
    data = json.loads(json.dumps(shop.data()))
    prepare(data, tmp_path)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(data))
    assert cli.main(["run", str(file), "--json"]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    (sentence,) = [line for line in errors.splitlines() if line.startswith("quantscope: ")]
    assert errors.splitlines()[-1] == sentence
    assert fact in sentence
    assert "; " in sentence, "the remedy"
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"{", "JSON"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[]", "recipe"),
        (b"3", "recipe"),
    ],
)
def test_a_recipe_file_that_is_no_recipe_is_refused(
    tmp_path: Path, content: bytes, fact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.json"
    file.write_bytes(content)
    assert cli.main(["run", str(file)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert fact in errors


def test_a_recipe_file_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(tmp_path / "none.json")]) == 1
    assert "cannot be read: No such file or directory" in capsys.readouterr().err


def test_an_unknown_device_is_refused(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(shop.data()))
    assert cli.main(["run", str(file), "--device", "tpu"]) == 1
    assert "no device 'tpu' here; choose" in capsys.readouterr().err


def test_a_damaged_cache_costs_time_and_not_the_run(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shop.data(seed=7)
    kept = shop.run(shop.recipe())
    store = shop.cache._records._store
    for key in list(store):
        store.set(key, "not what was written")
    for path in (shop.root / "cache" / "arrays").glob("*.safetensors"):
        path.write_bytes(b"\0" * 100)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(data))
    assert cli.main(["run", str(file), "--json"]) == 0
    output, errors = capsys.readouterr()
    assert json.loads(output)["window_losses"] == list(kept.window_losses)
    assert "Traceback" not in errors


ODD_PATHS = ["x" * 300, "~nosuchuser/x", "a\0b", "a\ud800", "folder/" + "y" * 300]


@pytest.mark.parametrize("path", ODD_PATHS, ids=["long", "user", "nul", "half", "long part"])
@pytest.mark.parametrize("command", ["run", "sweep", "suffix train", "suffix evaluate", "verify"])
def test_a_name_that_can_be_no_path_is_refused_by_every_command(
    command: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path / "home"))
    assert cli.main([*command.split(), path]) == 1
    told = capsys.readouterr().err
    assert told.startswith("quantscope: ")
    assert told.count("\n") == 1
