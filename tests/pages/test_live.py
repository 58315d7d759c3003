"""What a page says of runs that are under way, and what it does not offer meanwhile."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from streamlit.config import get_config_options

from pages._ui import live
from pages._ui.form.presets import DEMO
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"


@pytest.mark.parametrize("page", ["home", "pareto", "compare"])
def test_an_empty_page_says_how_far_the_sweep_is_and_offers_nothing_that_runs(bench, page):
    for place, recipe in enumerate(DEMO.recipes()):
        state = JobState.RUNNING if place == 0 else JobState.QUEUED
        bench.queue.add(recipe, state, sweep="s")
    app = bench.open(page)
    said = [item.value for item in app.caption]
    assert any("Demo sweep: 0 of 9, first point in about" in text for text in said)
    assert not any(button.label == "Run the demo sweep" for button in app.button)


def test_a_queue_at_rest_says_nothing(bench):
    bench.queue.add(Recipe(), JobState.FINISHED)
    assert live.progress_line() == ""
    assert not live.running([Recipe()])
    bench.queue.add(Recipe(), JobState.QUEUED)
    assert live.running([Recipe()])
    assert not live.running([Recipe(seed=5)])


def test_the_demo_sweep_keeps_its_name_in_the_queue(bench):
    app = bench.open()
    next(button for button in app.button if button.label == "Run the demo sweep").click().run()
    assert bench.queue.names == [DEMO.name]


def test_looking_at_the_queue_collects_no_garbage():
    """Streamlit would after each run, for a second beside torch, while every session waits."""
    options = _settings(tomllib.loads(CONFIG.read_text(encoding="utf-8")))
    assert options["runner.postScriptGC"] is False
    assert set(options) <= set(get_config_options())  # an unknown one is ignored without a word


def _settings(tree: dict, above: str = "") -> dict[str, object]:
    """Every option with its whole name."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= (
            _settings(value, f"{above}{name}.")
            if isinstance(value, dict)
            else {f"{above}{name}": value}
        )
    return found
