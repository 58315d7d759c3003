"""What goes wrong costs time, or ends in a sentence; it never costs a finished stage."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cache import artifacts
from qcore.errors import (
    DataError,
    DiskFull,
    InvalidRecipe,
    JobCancelled,
    ModelError,
    OutOfMemory,
    QuantscopeError,
)
from qcore.pipeline import methods
from qcore.pipeline.environment import memory_errors
from qcore.pipeline.stages import evaluate, reference
from qcore.progress import Event
from tests.pipeline.factories import BLOCKS, Workshop, numbers, stages

INT3 = {"format": "int3"}
GPTQ = {"method": "gptq"}
BOTH_INPUTS = pytest.mark.parametrize("inputs", ["float", "quantized"])


def weights(shop: Workshop) -> dict[str, torch.Tensor]:
    recipe = shop.recipe()
    model = shop.session.network(shop.keys(recipe), lambda *_: None).model
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def hooks(shop: Workshop) -> int:
    model = shop.session.network(shop.keys(shop.recipe()), lambda *_: None).model
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def same(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(before[name], after[name]) for name in before)


@BOTH_INPUTS
def test_the_network_is_restored_bit_for_bit_after_a_run(shop: Workshop, inputs: str) -> None:
    before = weights(shop)
    shop.run(
        shop.recipe(
            weights=INT3, activations={"format": "int8"}, rounding={**GPTQ, "inputs": inputs}
        )
    )
    assert same(before, weights(shop))
    assert hooks(shop) == 0


def test_the_network_is_restored_bit_for_bit_after_a_rotated_run(shop: Workshop) -> None:
    before = weights(shop)
    report = shop.run(shop.recipe(weights=INT3, rounding=GPTQ, rotation={}))
    assert "transform" in stages(report)
    assert same(before, weights(shop))
    assert hooks(shop) == 0


@BOTH_INPUTS
@pytest.mark.parametrize("where", ["quantize", "evaluate"])
def test_the_network_is_restored_bit_for_bit_after_a_failed_run(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, inputs: str, where: str
) -> None:
    before = weights(shop)
    recipe = shop.recipe(
        weights=INT3, activations={"format": "int8"}, rounding={**GPTQ, "inputs": inputs}
    )
    calls: list[int] = []
    module, name = {"quantize": (methods, "gptq"), "evaluate": (evaluate, "score_tokens")}[where]
    real = getattr(module, name)

    def fail(*given, **named):
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        with pytest.raises(ZeroDivisionError):
            shop.run(recipe)
    assert same(before, weights(shop))
    assert hooks(shop) == 0
    shop.run(recipe)


def test_a_cancel_in_the_middle_keeps_the_blocks_before_it(shop: Workshop) -> None:
    recipe = shop.recipe(weights=INT3, rounding=GPTQ)

    def emit(event: Event) -> None:
        if event.stage == "quantize" and event.kind == "progress" and event.done == 2:
            raise JobCancelled("cancelled", remedy="resume it")

    with pytest.raises(JobCancelled):
        shop.run(recipe, emit)
    files = [shop.array(shop.keys(recipe).block("quantize", b)) for b in range(BLOCKS)]
    # A block that another core had begun is finished too.
    kept = [file for file in files if file.exists()]
    assert len(kept) >= 2
    made = [file.stat().st_mtime_ns for file in kept]
    shop.run(recipe)
    assert [file.stat().st_mtime_ns for file in kept] == made


def _replace(path: Path, content: bytes) -> None:
    path.unlink()  # whoever has mapped the old file keeps it
    path.write_bytes(content)


def _lose(path: Path) -> None:
    path.unlink()


def _overwrite(path: Path) -> None:
    _replace(path, path.read_bytes()[:-1] + b"?")


def _truncate(path: Path) -> None:
    _replace(path, path.read_bytes()[:100])


@BOTH_INPUTS
@pytest.mark.parametrize("stage", ["capture", "quantize"])
@pytest.mark.parametrize("damage", [_lose, _overwrite, _truncate])
def test_an_artifact_that_goes_bad_between_stages_only_costs_time(
    shop: Workshop, tmp_path_factory, inputs: str, stage: str, damage
) -> None:
    recipe = shop.recipe(weights=INT3, rounding={**GPTQ, "inputs": inputs})
    expected = Workshop(tmp_path_factory.mktemp("whole"), shop.model, shop.text).run(recipe)
    following = {"capture": "quantize", "quantize": "evaluate"}[stage]

    def emit(event: Event) -> None:
        if event.kind == "stage" and event.stage == following and not event.done:
            damage(shop.array(shop.keys(recipe).block(stage, 1)))

    assert numbers(shop.run(recipe, emit)) == numbers(expected)


def test_blocks_lost_together_are_made_again_from_the_float_network(
    shop: Workshop, tmp_path_factory
) -> None:
    recipe = shop.recipe(weights=INT3, rounding=GPTQ)
    expected = Workshop(tmp_path_factory.mktemp("whole"), shop.model, shop.text).run(recipe)

    def emit(event: Event) -> None:
        if event.kind == "stage" and event.stage == "evaluate" and not event.done:
            shop.lose("quantize", 2, recipe)
            shop.lose("capture", 2, recipe)

    assert numbers(shop.run(recipe, emit)) == numbers(expected)
    again = shop.recipe(weights={"format": "int4"}, rounding=GPTQ)
    clean = Workshop(tmp_path_factory.mktemp("clean"), shop.model, shop.text).run(again)
    assert numbers(shop.run(again)) == numbers(clean), "no wrong capture was kept"


def test_a_cleared_cache_between_runs_only_costs_time(shop: Workshop) -> None:
    first = shop.run(shop.recipe())
    shop.cache.clear()
    (shop.root / "reports" / f"{first.id}.json").unlink()
    again = shop.run(shop.recipe())
    assert numbers(again) == numbers(first)
    assert not any(stages(again).values())


def test_a_corrupt_cache_row_is_computed_again(shop: Workshop) -> None:
    recipe = shop.recipe()
    first = shop.run(recipe)
    (shop.root / "reports" / f"{first.id}.json").unlink()
    shop.cache._records._store.set(shop.keys(recipe).window("evaluate", 1), "no seal at all")
    again = shop.run(recipe)
    assert numbers(again) == numbers(first)
    assert stages(again)["quantize"]
    assert not stages(again)["evaluate"]


def test_scores_evicted_while_the_references_are_taken_keep_their_divergence(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run(shop.recipe())
    real = reference.Referee.hidden

    def hidden(self, index):
        shop.cache._records.clear()
        return real(self, index)

    monkeypatch.setattr(reference.Referee, "hidden", hidden)
    more = {"text": f"file:{shop.text}", "windows": 4, "length": 24}
    assert len(shop.run(shop.recipe(evaluation=more)).window_divergences) == 4


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """No array can be written from the moment that something is appended."""
    full: list[int] = []
    real = artifacts._flush

    def flush(path: Path) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    monkeypatch.setattr(artifacts, "_flush", flush)
    return full


def test_a_disk_that_fills_up_ends_the_run_and_keeps_the_finished_stages(
    shop: Workshop, full_disk: list[int]
) -> None:
    recipe = shop.recipe(rounding=GPTQ)

    def emit(event: Event) -> None:
        if event.kind == "stage" and event.stage == "quantize":
            full_disk.append(1)

    with pytest.raises(DiskFull, match="free some disk space"):
        shop.run(recipe, emit)
    planned = shop.planned(recipe)
    assert planned["reference"]
    assert planned["capture"]
    assert not planned["quantize"]
    full_disk.clear()
    assert stages(shop.run(recipe))["capture"]


def test_a_home_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qcore.machine.home import home
    from qcore.report.library import Library

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(DiskFull, match="QUANTSCOPE_HOME"):
        home()
    with pytest.raises(DiskFull, match="cannot be made"):
        Library(tmp_path / "file")


def test_every_way_to_run_out_of_memory_is_one_error() -> None:
    with pytest.raises(OutOfMemory, match="machine has no memory"), memory_errors("cpu"):
        torch.empty(1 << 61, dtype=torch.uint8)
    with pytest.raises(OutOfMemory, match="machine has no memory"), memory_errors("cpu"):
        bytearray(1 << 62)
    with pytest.raises(OutOfMemory, match="cuda:0 has no memory"), memory_errors("cuda:0"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    with pytest.raises(RuntimeError, match="something else"), memory_errors("cpu"):
        raise RuntimeError("something else")


def test_memory_that_runs_out_in_a_stage_is_a_sentence(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_, **__):
        return torch.empty(1 << 61, dtype=torch.uint8)

    monkeypatch.setattr(methods, "gptq", hungry)
    with pytest.raises(OutOfMemory, match="bfloat16"):
        shop.run(shop.recipe(rounding=GPTQ))


@pytest.mark.parametrize("part", ["weights", "activations"])
def test_a_group_that_does_not_divide_is_refused_before_anything_long_begins(
    shop: Workshop, part: str
) -> None:
    recipe = shop.recipe(**{part: {"format": "int4", "group": 32}}, rounding=GPTQ)
    with pytest.raises(InvalidRecipe, match=f"{part}: group 32 of int4 does not divide 48"):
        shop.run(recipe)
    assert {event.stage for event in shop.events} == {"load"}


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _unknown(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"mamba"'))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_no_config, "no config.json"),
        (_cut_short, "model.safetensors is damaged"),
        (_pickled, "pickled weights only"),
        (_unknown, "'mamba' is unknown"),
    ],
)
def test_a_bad_checkpoint_is_refused_before_the_first_stage(
    shop: Workshop, tmp_path: Path, damage, sentence: str
) -> None:
    shop.model = Path(shutil.copytree(shop.model, tmp_path / "model"))
    damage(shop.model)
    with pytest.raises(ModelError, match=sentence):
        shop.run(shop.recipe())
    assert shop.events == []


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "is empty"), (b"caf\xe9", "is not UTF-8: byte 3 of 4")]
)
def test_a_bad_text_is_refused_before_the_first_stage(
    shop: Workshop, tmp_path: Path, content: bytes, sentence: str
) -> None:
    shop.text = tmp_path / "bad.txt"
    shop.text.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        shop.run(shop.recipe())
    assert shop.events == []


def test_a_text_that_is_too_short_says_how_long_it_is(shop: Workshop, tmp_path: Path) -> None:
    shop.text = tmp_path / "short.txt"
    shop.text.write_text("Too short to cut.")
    with pytest.raises(QuantscopeError, match=r"has \d+ tokens, and 3 windows of 24 need 72"):
        shop.run(shop.recipe())
