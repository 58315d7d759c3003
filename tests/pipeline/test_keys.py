"""A stage's key changes with what the stage reads, and with nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.factories import Workshop, write_text

STAGES = ("load", "reference", "capture", "quantize", "evaluate")
GPTQ = {"rounding": {"method": "gptq"}}


def keys_of(shop: Workshop, **parts: Any) -> dict[str, str]:
    keys = shop.keys(shop.recipe(**parts))
    return {stage: getattr(keys, stage) for stage in STAGES}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in STAGES if before[stage] != after[stage]}


def text(shop: Workshop, **more: Any) -> dict[str, Any]:
    return {"text": f"file:{shop.text}", "windows": 4, "length": 24, **more}


CASES = {
    "format": ({"weights": {"format": "int3"}}, {"quantize", "evaluate"}),
    "scales": ({"scales": {"method": "absmax"}}, {"quantize", "evaluate"}),
    "rounding": ({"rounding": {"method": "gptq"}}, {"quantize", "evaluate"}),
    "activations": ({"activations": {"format": "int8"}}, {"evaluate"}),
    "dtype": ({"model": "bfloat16"}, set(STAGES)),
    "calibration windows": ({"calibration": {"windows": 5}}, {"capture", "quantize", "evaluate"}),
    "calibration length": ({"calibration": {"length": 25}}, {"capture", "quantize", "evaluate"}),
    "evaluation windows": ({"evaluation": {"windows": 5}}, set()),
    "evaluation length": ({"evaluation": {"length": 25}}, {"reference", "evaluate"}),
    "divergence": ({"evaluation": {"divergence": False}}, {"evaluate"}),
    "float weights": ({"weights": None}, {"capture", "quantize", "evaluate"}),
    "what holds a scale": ({"scales": {"storage": "bfloat16"}}, {"quantize", "evaluate"}),
    "seed": ({"seed": 1}, set()),
    "damping of a method without": ({"rounding": {"damping": 0.5}}, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_a_changed_knob_changes_exactly_the_stages_that_read_it(shop: Workshop, case: str) -> None:
    parts, expected = CASES[case]
    base = shop.data(evaluation=text(shop))
    given: dict[str, Any] = dict(parts)
    if case == "dtype":
        given = {"model": {**base["model"], "dtype": "bfloat16"}}
    for part in ("calibration", "evaluation"):
        if part in given:
            given[part] = {**base[part], **given[part]}
    before = keys_of(shop, evaluation=text(shop))
    after = keys_of(shop, **{"evaluation": text(shop), **given})
    assert changed(before, after) == expected


def test_activations_reach_the_weights_only_through_quantized_inputs(shop: Workshop) -> None:
    sequence = {"rounding": {"method": "gptq", "inputs": "quantized"}}
    before = keys_of(shop, **sequence)
    after = keys_of(shop, **sequence, activations={"format": "int8"})
    assert changed(before, after) == {"quantize", "evaluate"}


def test_what_holds_a_scale_is_nothing_to_powers_of_two(shop: Workshop) -> None:
    mx = {"weights": {"format": "mxfp4"}, "rounding": {"method": "gptq"}}
    after = keys_of(shop, **mx, scales={"storage": "float32"})
    assert changed(keys_of(shop, **mx), after) == set()


def test_a_text_counts_by_its_content_and_not_by_its_name(shop: Workshop, tmp_path: Path) -> None:
    before = keys_of(shop)
    same = tmp_path / "copy.txt"
    shutil.copy(shop.text, same)
    shop.text = same
    assert changed(before, keys_of(shop)) == set()
    write_text(same, seed=1)
    assert changed(before, keys_of(shop)) == {"reference", "capture", "quantize", "evaluate"}


def test_a_changed_calibration_text_leaves_the_reference_alone(
    shop: Workshop, tmp_path: Path
) -> None:
    other = write_text(tmp_path / "other.txt", seed=1)
    after = keys_of(shop, calibration={"text": f"file:{other}", "windows": 4, "length": 24})
    assert changed(keys_of(shop), after) == {"capture", "quantize", "evaluate"}


def test_a_model_counts_by_its_files_and_not_by_its_folder(shop: Workshop, tmp_path: Path) -> None:
    before = keys_of(shop)
    shop.model = Path(shutil.copytree(shop.model, tmp_path / "copy"))
    assert changed(before, keys_of(shop)) == set()
    config = shop.model / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rms_norm_eps": 1e-3}))
    assert changed(before, keys_of(shop)) == set(STAGES)


def test_a_changed_text_makes_another_report(shop: Workshop, tmp_path: Path) -> None:
    shop.text = write_text(tmp_path / "mine.txt")
    first = shop.run(shop.recipe())
    write_text(shop.text, seed=1)
    second = shop.run(shop.recipe())
    assert first.recipe == second.recipe
    assert first.id != second.id
    assert first.float_window_losses != second.float_window_losses
