"""Exported folders: whole or absent, to the bit, and every planted fault found by the gate.

Tests that need the reader's own code are skipped, and say so, where `make verify` has not run.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qcore.calibration.text import windows
from qcore.errors import DiskFull, ExportError, InvalidRecipe
from qcore.export import folder as folders
from qcore.export.layouts import layout_of
from qcore.export.packing import exponent_codes, pack_bits, pack_nibbles
from qcore.export.proof import PROOF
from qcore.export.schemes import exact_scale
from qcore.export.tensors import LazyTensor, write_checkpoint
from qcore.export.verify import _reader, ask, verify
from qcore.export.writing import export_run
from qcore.formats.format import FORMATS, named
from tests.models.factories import tiny_model, tiny_tokenizer
from tests.pipeline.factories import Workshop, value, write_text

READER = not subprocess.run(
    [_reader(), "-I", "-c", "import compressed_tensors"], capture_output=True, check=False
).returncode
needs_reader = pytest.mark.skipif(not READER, reason="make verify installs the reader")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workshop:
    root = tmp_path_factory.mktemp("export")
    tiny_model("llama", intermediate_size=64).save_pretrained(root / "model")
    tiny_tokenizer().save_pretrained(root / "model")
    return Workshop(root / "home", root / "model", write_text(root / "text.txt"))


def exported(shop: Workshop, target: Path, **parts) -> Path:
    report = shop.run(shop.recipe(**parts))
    export_run(report, target, cache=shop.cache, root=shop.root)
    return target


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def store(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("bits", range(1, 9))
def test_element_i_of_a_row_stands_at_bit_i_times_b(bits):
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(0, 1 << bits, (5, 37), generator=generator)
    packed = pack_bits(codes, bits)
    for row, words in zip(codes.tolist(), packed.tolist(), strict=True):
        stream = sum((word & 0xFFFFFFFF) << (32 * place) for place, word in enumerate(words))
        assert [stream >> (bits * i) & ((1 << bits) - 1) for i in range(37)] == row


def test_the_even_column_is_the_low_nibble():
    assert pack_nibbles(torch.tensor([[1, 2, 15, 0]])).tolist() == [[0x21, 0x0F]]


def test_exponent_codes_are_exponents_plus_127():
    scale = torch.tensor([[1.0, 2.0, 0.5, 2.0**-126, 2.0**127]])
    assert exponent_codes(scale).tolist() == [[127, 128, 126, 1, 254]]


def test_a_scale_that_the_type_does_not_hold_is_refused():
    with pytest.raises(ExportError, match=r"1 of 2 scales .* scales\.storage bfloat16"):
        exact_scale("x", torch.tensor([[1.0], [1.0009765625]]), torch.bfloat16)


@pytest.mark.parametrize("name", ["mxfp6_e3m2", "mxfp8_e5m2", "mxint8"])
def test_formats_without_a_layout_are_refused_by_name(name):
    with pytest.raises(ExportError, match=name):
        layout_of(FORMATS[name])


def test_every_int_format_has_a_layout():
    for bits in range(2, 9):
        assert layout_of(named(f"int{bits}", 32)) == "pack-quantized"
        assert layout_of(named(f"int{bits}_asym")) == "pack-quantized"


def test_shards_hold_every_tensor_once_and_the_index_finds_them(tmp_path):
    made = [torch.full((3, 4), float(n)) for n in range(5)]
    lazy = [LazyTensor(f"t{n}", t.dtype, (3, 4), lambda t=t: t) for n, t in enumerate(made)]
    assert write_checkpoint(tmp_path, lazy, {"who": "me"}, shard=100) == 5 * 48
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == 3
    for number, tensor in enumerate(made):
        with safe_open(tmp_path / index["weight_map"][f"t{number}"], "pt") as file:
            assert torch.equal(file.get_tensor(f"t{number}"), tensor)
            assert file.metadata() == {"format": "pt", "who": "me"}


def test_an_export_that_breaks_off_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), folders.staged(tmp_path / "out", 1) as folder:
        (folder / "half").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_swept_by_the_next(tmp_path):
    left = tmp_path / ".out.abc.part"
    left.mkdir()
    (left / ".writing").touch()
    with folders.staged(tmp_path / "out", 1) as folder:
        (folder / "whole").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_an_existing_folder_is_never_touched(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="exists already"), folders.staged(tmp_path / "out", 1):
        pytest.fail("lent out")


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser/x", "a\0b"])
def test_a_name_that_can_be_no_folder_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="is no path here"), folders.staged(Path(name), 1):
        raise AssertionError("nothing is to be written")


def test_too_little_room_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(DiskFull, match="are needed"), folders.staged(tmp_path / "out", 10**18):
        pytest.fail("lent out")
    assert list(tmp_path.iterdir()) == []


def test_codes_are_written_as_they_are_and_scales_in_the_networks_type(shop, tmp_path):
    exported(shop, tmp_path / "out", weights={"format": "int4", "group": 16})
    tensors = stored(tmp_path / "out")
    assert tensors["model.layers.0.mlp.up_proj.weight_packed"].shape == (64, 4)
    assert tensors["model.layers.0.mlp.up_proj.weight_scale"].dtype == torch.float32
    assert tensors["model.layers.0.mlp.up_proj.weight_shape"].tolist() == [64, 32]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["config_groups"]["group_0"]["targets"] == ["Linear"]
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_evicted_codes_are_computed_again_and_written(shop, tmp_path):
    parts = {"weights": {"format": "int5"}}
    first = exported(shop, tmp_path / "one", **parts)
    shop.lose("quantize", 1, shop.recipe(**parts))
    second = exported(shop, tmp_path / "two", **parts)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_runs_that_no_server_could_serve_are_refused_with_what_to_run_instead(shop, tmp_path):
    with pytest.raises(InvalidRecipe, match="no codes"):
        exported(shop, tmp_path / "out", weights=None)
    with pytest.raises(ExportError, match="float inputs"):
        exported(shop, tmp_path / "out", activations={"format": "int8"})
    with pytest.raises(ExportError, match="rotated at run time"):
        exported(shop, tmp_path / "out", rotation={"block": 16})
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_no_export(tmp_path):
    with pytest.raises(ExportError, match=PROOF.replace(".", r"\.")):
        verify(tmp_path)


EXPORTS = [
    {"weights": {"format": "int4", "group": 16}},
    {"weights": {"format": "int3", "group": 16}},
    {"weights": {"format": "int4"}, "rotation": {"r4": False}},
    {"weights": {"format": "int4_asym", "group": 16}},
    {"weights": {"format": "mxfp4"}},
    {"weights": {"format": "mxfp6_e2m3"}},
    {"weights": {"format": "mxfp8_e4m3"}},
]


@needs_reader
@pytest.mark.parametrize("parts", EXPORTS, ids=lambda parts: parts["weights"]["format"])
def test_the_readers_own_code_finds_every_tensor_to_the_bit(shop, tmp_path, parts):
    (verdict,) = verify(exported(shop, tmp_path / "out", **parts))
    assert verdict.word == "exact"
    kept = json.loads((tmp_path / "out" / PROOF).read_text())["verdicts"]
    assert [each["word"] for each in kept] == ["exact"]


@needs_reader
def test_a_mixture_has_a_group_for_each_format_and_is_read_exactly(shop, tmp_path):
    parts = {
        "weights": {"format": "int4"},
        "precision": {
            "method": "manual",
            "budget": None,
            "formats": ["int4", "int8"],
            "pins": [
                {"layer": str(block), "format": "int4" if block else "int8"} for block in range(3)
            ],
        },
    }
    folder = exported(shop, tmp_path / "out", **parts)
    groups = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert len(groups["config_groups"]) == 2
    assert verify(folder)[0].word == "exact"


def _scale_in_another_type(tensors, config):
    name = "model.layers.0.mlp.up_proj.weight_scale"
    tensors[name] = (tensors[name] * 1.001).half().float()


def _a_dropped_transform(tensors, config):
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].flip(1)


def _a_layer_left_float(tensors, config):
    path = "model.layers.0.mlp.up_proj"
    for leaf in ("weight_packed", "weight_scale", "weight_shape"):
        del tensors[f"{path}.{leaf}"]
    tensors[f"{path}.weight"] = torch.zeros(64, 32)


def _another_width(tensors, config):
    group = config["quantization_config"]["config_groups"]["group_0"]
    group["weights"]["num_bits"] = 8


def _swapped_shards(tensors, config):
    up, gate = (f"model.layers.0.mlp.{name}_proj.weight_packed" for name in ("up", "gate"))
    tensors[up], tensors[gate] = tensors[gate], tensors[up]


def _a_lost_tensor(tensors, config):
    del tensors["model.norm.weight"]


@needs_reader
@pytest.mark.parametrize(
    "fault",
    [
        _scale_in_another_type,
        _a_dropped_transform,
        _a_layer_left_float,
        _another_width,
        _swapped_shards,
        _a_lost_tensor,
    ],
)
def test_a_planted_fault_does_not_pass_the_gate(shop, tmp_path, fault):
    folder = exported(shop, tmp_path / "out", weights={"format": "int4", "group": 16})
    config = json.loads((folder / "config.json").read_text())
    tensors = stored(folder)
    fault(tensors, config)
    store(folder, tensors)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match=r"export it again|do not serve"):
        verify(folder)


@needs_reader
def test_a_tied_head_after_folding_does_not_pass_the_gate(shop, tmp_path):
    folder = exported(shop, tmp_path / "out", weights={"format": "int4"}, rotation={"r4": False})
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    tensors = stored(folder)
    del tensors["lm_head.weight"]
    store(folder, tensors)
    with pytest.raises(ExportError):
        verify(folder)


def test_without_a_reader_nothing_is_called_exact(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("qcore.export.verify.ask", lambda folder, timeout, gguf: None)
    folder = exported(shop, tmp_path / "out", weights={"format": "int6"})
    (verdict,) = verify(folder)
    assert verdict.word == "unverified"
    assert "make verify" in verdict.why


@needs_reader
def test_a_reader_that_breaks_is_a_sentence(shop, tmp_path):
    folder = exported(shop, tmp_path / "out", weights={"format": "int7"})
    (folder / "config.json").write_text("{")
    with pytest.raises(ExportError, match="the reader failed"):
        ask(folder, 600)


@needs_reader
def test_zero_points_that_are_not_the_packed_ones_do_not_pass_the_gate(shop, tmp_path):
    folder = exported(shop, tmp_path / "out", weights={"format": "int4_asym", "group": 16})
    tensors = stored(folder)
    name = "model.layers.0.mlp.up_proj.weight_zero_point"
    tensors[name] = torch.zeros_like(tensors[name])
    store(folder, tensors)
    with pytest.raises(ExportError, match="1 tensors are different"):
        verify(folder)


@needs_reader
@pytest.mark.parametrize("fault", ["first group for all", "a stray configuration"])
def test_another_configuration_does_not_pass_the_gate(shop, tmp_path, fault):
    pins = [{"layer": str(block), "format": "int4" if block else "int8"} for block in range(3)]
    precision = {"method": "manual", "budget": None, "formats": ["int4", "int8"], "pins": pins}
    folder = exported(shop, tmp_path / "out", weights={"format": "int4"}, precision=precision)
    config = json.loads((folder / "config.json").read_text())
    groups = config["quantization_config"]["config_groups"]
    if fault == "first group for all":
        config["quantization_config"]["config_groups"] = {
            "group_0": {**groups["group_0"], "targets": ["Linear"]}
        }
    else:
        config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="do not serve"):
        verify(folder)


PERPLEXITY = """
import json, math, sys, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").eval()
windows = load_file(sys.argv[2])["windows"]
with torch.no_grad():
    losses = [float(model(window[None], labels=window[None]).loss) for window in windows]
print(json.dumps(math.exp(sum(losses) / len(losses))))
"""


@needs_reader
@pytest.mark.parametrize("parts", [EXPORTS[0], EXPORTS[2]], ids=["grouped", "rotated"])
def test_plain_transformers_finds_the_reports_perplexity_in_the_folder(
    shop, tmp_path, parts, monkeypatch
):
    monkeypatch.setattr("qcore.export.writing.verify", lambda folder: [])
    report = shop.run(shop.recipe(**parts))
    folder = exported(shop, tmp_path / "out", **parts)
    asked = report.recipe.evaluation
    read = windows(tiny_tokenizer(), asked.text, asked.windows, asked.length)
    save_file({"windows": read}, tmp_path / "windows.safetensors")
    script = [_reader(), "-I", "-c", PERPLEXITY, str(folder), str(tmp_path / "windows.safetensors")]
    said = subprocess.run(script, capture_output=True, check=True, text=True).stdout
    assert json.loads(said.splitlines()[-1]) == pytest.approx(value(report, "perplexity"), rel=1e-4)
