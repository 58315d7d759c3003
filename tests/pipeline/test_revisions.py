"""A mended method has new keys where its outcome changed, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qcore.models.source import ModelSource
from qcore.pipeline import revisions
from qcore.recipe import Recipe
from tests.house.recipes_pinned import keys_of

DEMO = ModelSource("demo", "0" * 64, Path("demo"), "demo", "llama")
MIDMAX = {"format": "mxfp8_e4m3", "scale_rounding": "midmax"}
FLOOR = {"format": "mxfp8_e4m3"}
NARROW = {"format": "mxfp4", "scale_rounding": "midmax"}
PISO = {"method": "piso"}
BUDGET = {"method": "knapsack", "budget": 5.0}
WEIGHTS = {"scales", "quantize", "quantize 0", "evaluate", "window 0", "report"}
INPUTS = {"evaluate", "window 0", "report"}

CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "weights": ({"weights": MIDMAX, "scales": {"method": "absmax"}}, WEIGHTS),
    "weights whose powers PiSO finds": ({"weights": MIDMAX, "scales": PISO}, set()),
    "weights by floor": ({"weights": FLOOR}, set()),
    "weights of another element": ({"weights": NARROW, "activations": FLOOR}, set()),
    "inputs": ({"weights": FLOOR, "activations": MIDMAX}, INPUTS),
    "inputs of sequential rounding": (
        {
            "weights": FLOOR,
            "activations": MIDMAX,
            "rounding": {"method": "gptq", "inputs": "quantized"},
        },
        INPUTS | {"quantize", "quantize 0"},
    ),
    "a budget up to E4M3": (
        {"weights": NARROW, "precision": BUDGET},
        WEIGHTS | {"sensitivity", "assign"},
    ),
    "a budget whose inputs share the widths": (
        {"weights": {"format": "mxfp4"}, "activations": NARROW, "precision": BUDGET},
        INPUTS | {"sensitivity", "assign", "scales", "quantize", "quantize 0"},
    ),
    "zero points by PiSO": ({"weights": {"format": "int4_asym"}, "scales": PISO}, WEIGHTS),
    "zero points of the range": (
        {"weights": {"format": "int4_asym"}, "scales": {"method": "absmax"}},
        set(),
    ),
    "no zero points": ({"weights": {"format": "int4"}, "scales": PISO}, set()),
    "inputs with zero points": (
        {"weights": {"format": "int4"}, "activations": {"format": "int4_asym"}, "scales": PISO},
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_stages_whose_outcome_changed_have_new_keys(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, expected = CASES[case]
    recipe = Recipe.from_dict(parts)
    now = keys_of(recipe)
    for name in ("of_weights", "of_inputs", "of_training", "of_any"):
        monkeypatch.setattr(revisions, name, lambda *_: [])
    before = keys_of(recipe)
    assert {stage for stage in now if now[stage] != before[stage]} == expected


def test_dmx_learns_anew_where_its_widest_format_is_e4m3_by_midmax() -> None:
    data = {"weights": NARROW, "precision": {"method": "dmx", "budget": 5.0}}
    recipe = Recipe.from_dict({**data, "scales": PISO})
    assert revisions.of_training(recipe)
    assert not revisions.of_weights(recipe)
    assert revisions.of_any(recipe, DEMO)
    six = {**data["precision"], "formats": ["mxfp4", "mxfp6_e2m3"]}
    assert not revisions.of_any(Recipe.from_dict({**data, "precision": six}), DEMO)


@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_dmx_of_two_steps_is_trained_anew(steps: int) -> None:
    part = {"method": "dmx", "budget": 5.0, "training": {"steps": steps}}
    recipe = Recipe.from_dict({"weights": {"format": "mxfp4"}, "precision": part})
    assert bool(revisions.of_training(recipe)) == (steps == 2)


@pytest.mark.parametrize(
    ("rotation", "inner", "expected"),
    [
        ({"r1": False, "r2": False}, 12096, True),
        ({"r1": False, "r2": False, "block": 32}, 12096, False),
        ({"r1": False, "r4": False}, 12096, False),
        ({}, 1536, False),
        ({}, 13696, False),
    ],
)
def test_only_networks_with_a_width_of_two_cores_are_rotated_anew(
    tmp_path: Path, rotation: dict[str, Any], inner: int, expected: bool
) -> None:
    sizes = {"hidden_size": 576, "num_attention_heads": 9, "intermediate_size": inner}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    source = ModelSource("folder", "1" * 64, tmp_path, "folder", "llama")
    recipe = Recipe.from_dict({"rotation": rotation})
    assert bool(revisions.of_rotation(recipe, source)) == expected
