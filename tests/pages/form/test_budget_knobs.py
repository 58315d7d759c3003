"""What the form makes of a bit budget."""

from __future__ import annotations

import pytest

from pages._ui import palette
from pages._ui.form.controls import CONTROLS
from pages._ui.form.presets import PRESETS
from pages._ui.form.values import parse, shown
from qcore.errors import InvalidRecipe
from qcore.recipe import titles
from qcore.recipe.pins import read_pins


@pytest.mark.parametrize(
    ("typed", "values", "again"),
    [
        ("", ("",), ""),
        ("none, down_proj=mxfp4", ("", "down_proj=mxfp4"), "none, down_proj=mxfp4"),
        ("3=mxfp4   0=mxfp4", ("3=mxfp4 0=mxfp4",), "3=mxfp4 0=mxfp4"),
    ],
)
def test_pins_are_typed_with_blanks_between_them(typed, values, again):
    pins = CONTROLS["precision.pins"]
    assert parse(pins, typed) == tuple(map(read_pins, values))
    assert shown(pins, parse(pins, typed)) == again


@pytest.mark.parametrize("typed", ["down_proj", "=mxfp4", "down_proj=mxfp5"])
def test_a_word_that_is_no_pin_is_refused_with_an_example(typed):
    with pytest.raises(InvalidRecipe, match="names no layer and format") as refused:
        parse(CONTROLS["precision.pins"], typed)
    assert "down_proj=mxfp8_e4m3" in refused.value.remedy


def test_the_preset_asks_every_method_at_every_budget_of_weights_and_inputs():
    preset = next(preset for preset in PRESETS if preset.name == "dMX against KL")
    runs = preset.recipes()
    parts = [run.precision for run in runs if run.precision]
    cells = {(part.method, part.budget) for part in parts}
    methods = ("uniform", "kl", "knapsack", "dmx")
    assert cells == {(m, b) for m in methods for b in (4.25, 4.5, 5.0, 6.0)}
    assert len(runs) == len(cells) == 16
    assert {(part.objective, part.narrow_to_wide) for part in parts} == {
        ("both", ("mxfp4", "mxfp8_e4m3"))
    }
    assert all(run.activations and run.activations.format == "mxfp4" for run in runs)


def test_every_way_to_spend_a_budget_has_a_colour_of_its_own():
    names = list(titles.BUDGET_METHODS.values())
    colours = [palette.colour(name) for name in names]
    assert palette.NEUTRAL not in colours
    assert len(set(palette.METHOD_COLOURS.values())) == len(palette.METHOD_COLOURS)
    assert len(set(colours)) == len(names)


def test_a_budget_on_the_page_multiplies_the_runs_and_brings_its_formats(bench):
    app = bench.open("new_run")
    assert "knob.precision.formats" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.precision.method").set_value(["+", "uniform", "kl"]).run()
    assert "brings its own formats" in " ".join(item.value for item in app.caption)
    app.get_by_key("knob.precision.budget").set_value("4.5, 5").run()
    app.get_by_key("knob.precision.pins").set_value("down_proj=mxfp8_e4m3").run()
    assert app.metric[0].value == "4"
    app.get_by_key("submit").click().run()
    assert {
        (run.precision.method, run.precision.budget, run.weights.format, run.precision.pins[0])
        for run in bench.queue.submitted
    } == {
        (method, budget, "mxfp4", bench.queue.submitted[0].precision.pins[0])
        for method in ("uniform", "kl")
        for budget in (4.5, 5.0)
    }


def test_a_budget_out_of_range_is_refused_on_the_page(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.precision.method").set_value(["knapsack"]).run()
    app.get_by_key("knob.precision.budget").set_value("9").run()
    assert app.get_by_key("submit").disabled
    assert "lies outside 4 to 8" in " ".join(item.value for item in app.markdown)
    assert "Budget (bits)" in " ".join(item.value for item in app.error)
