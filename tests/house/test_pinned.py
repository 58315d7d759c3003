"""What other machines and yesterday's homes rely on: digests, stage keys, and the losses of runs.

To change one on purpose is to say so in the changelog, and to write the pins anew:
`python -m tests.house.test_pinned`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qcore.recipe import Recipe
from qcore.report.report import Report
from tests.house.recipes_pinned import RECIPES, keys_of
from tests.pipeline.factories import Workshop, write_checkpoint, write_text

PINS = Path(__file__).with_name("pinned.json")

RUNS: dict[str, dict[str, Any]] = {
    "int4 gptq": {
        "weights": {"format": "int4"},
        "scales": {"method": "absmax"},
        "rounding": {"method": "gptq"},
    },
    "int3 piso qronos": {
        "weights": {"format": "int3"},
        "scales": {"method": "piso", "objective": "cross"},
        "rounding": {"method": "qronos", "inputs": "quantized", "damping": 0.01},
    },
    "w4a4 blocks": {
        "weights": {"format": "int4"},
        "activations": {"format": "int4_asym"},
        "rotation": {"block": 16},
        "permutation": {"method": "massdiff"},
        "scales": {"method": "absmax"},
        "rounding": {"method": "rtn"},
    },
}


def pinned() -> dict[str, Any]:
    return json.loads(PINS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RECIPES)
def test_digests_and_stage_keys_are_what_they_were(name: str) -> None:
    assert keys_of(Recipe.from_dict(RECIPES[name])) == pinned()["keys"][name]


@pytest.mark.parametrize("name", RUNS)
def test_runs_lose_in_every_window_what_they_lost(tmp_path: Path, name: str) -> None:
    report = _run(tmp_path, name)
    before = pinned()["losses"][name]
    # Sums run in another order on another processor: a few units in the last of seven digits.
    assert list(report.window_losses) == pytest.approx(before["quantized"], rel=2e-5)
    assert list(report.float_window_losses) == pytest.approx(before["float"], rel=2e-5)


def _run(folder: Path, name: str) -> Report:
    model, text = write_checkpoint(folder / "model"), write_text(folder / "prose.txt")
    shop = Workshop(folder / "home", model, text)
    return shop.run(shop.recipe(**RUNS[name]))


def _write() -> None:
    import tempfile

    losses = {}
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            report = _run(Path(folder), name)
        both = {"quantized": report.window_losses, "float": report.float_window_losses}
        losses[name] = {sort: [float(f"{x:.9g}") for x in both[sort]] for sort in both}
    keys = {name: keys_of(Recipe.from_dict(data)) for name, data in RECIPES.items()}
    PINS.write_text(json.dumps({"keys": keys, "losses": losses}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    _write()
