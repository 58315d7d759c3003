"""What the form makes of a bit budget."""

from __future__ import annotations

import dataclasses

import pytest

from pages._ui import palette
from pages._ui.form.knobs import Knobs
from pages._ui.form.presets import PRESETS
from pages._ui.form.values import numbers_text, parse
from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe, titles
from qcore.recipe.sweep import expand

MX = {"format": "mxfp4"}
PINS = [{"layer": "down_proj", "format": "mxfp8_e4m3"}, {"layer": "3", "format": "mxfp4"}]


def digests(recipes):
    return {recipe.digest for recipe in recipes}


def changed(**values) -> Knobs:
    """The default form with some knobs turned."""
    return dataclasses.replace(Knobs.of([Recipe()]), **values)


@pytest.mark.parametrize(
    "sweep",
    [
        {"weights": MX, "precision": {}},
        {"weights": MX, "precision": {"method": ["uniform", "dmx"], "budget": [4.25, 5]}},
        {"weights": MX, "precision": {"method": ["kl", "random"]}, "seed": [0, 1]},
        {"weights": MX, "precision": {"objective": ["weights", "bytes"], "weighting": "layers"}},
        {"weights": MX, "precision": {"shared": False, "fused": [True, False]}},
        {"weights": MX, "precision": {"pins": [[], PINS]}},
        {"weights": MX, "precision": {"method": "manual", "budget": None, "pins": PINS}},
        {"weights": MX, "precision": {"probe": {"measure": ["loss", "proxy"], "windows": 2}}},
        {
            "weights": MX,
            "precision": {
                "method": "dmx",
                "training": {"steps": [10, 20], "rate": 2, "momentum": 0.9, "penalty": 0.5},
            },
        },
        {
            "weights": {"format": "mxfp4", "scale_rounding": ["floor", "midmax"]},
            "activations": {"format": "mxfp4"},
            "precision": {"formats": ["mxfp8_e4m3", "mxfp4"], "objective": "both"},
        },
        {
            "weights": {"format": "int4", "group": [None, 64]},
            "precision": {"formats": ["int4", "int8"], "method": ["kl", "uniform"]},
            "rounding": {"method": "gptq"},
        },
        [
            {"weights": {"format": "int3"}, "rounding": {"method": "gptq"}},
            {
                "weights": {"format": "int4"},
                "precision": {"formats": ["int4", "int8"]},
                "rounding": {"method": "gptq"},
            },
        ],
        [
            {"weights": {"format": low}, "precision": {"formats": [low, high], "budget": 5}}
            for low, high in (("mxfp4", "mxfp6_e2m3"), ("int4", "int8"))
        ],
    ],
    ids=str,
)
def test_a_budget_goes_into_the_form_and_out_again_unchanged(sweep):
    recipes = expand(sweep)
    assert digests(Knobs.of(recipes).recipes()) == digests(recipes)


def test_weights_start_in_the_narrowest_format_whatever_the_other_runs_have():
    runs = changed(weights=("int4", "int8"), budget_methods=("none", "knapsack")).recipes()
    assert [run.weights.format for run in runs if run.weights] == ["int4", "int8", "mxfp4"]
    assert [run.precision is not None for run in runs] == [False, False, True]


def test_a_method_is_multiplied_only_by_the_knobs_it_looks_at():
    runs = changed(
        budget_methods=("none", "uniform", "knapsack", "dmx", "manual"),
        budgets=(4.5, 5.0, 6.0),
        measures=("kl", "loss"),
        training_steps=(10, 20, 30),
        pins=("down_proj=mxfp4",),
    ).recipes()
    counts = {
        method: sum(bool(run.precision) and run.precision.method == method for run in runs)
        for method in ("uniform", "knapsack", "dmx", "manual")
    }
    assert counts == {"uniform": 3, "knapsack": 3 * 2, "dmx": 3 * 3, "manual": 1}
    assert len(runs) == 1 + sum(counts.values())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"budgets": (3.5,)}, "3.5 bits lies outside 4 to 8"),
        ({"budgets": ()}, "budgets: nothing is chosen"),
        ({"budget_formats": ()}, "budget formats: nothing is chosen"),
        ({"budget_objectives": ("both",)}, "counts activations"),
        ({"activations": ("int8_asym",)}, "cannot share the width"),
        ({"pins": ("down_proj=int4",)}, "not among the formats allowed"),
        ({"budget_methods": ("dmx",), "training_steps": (0,)}, "0 steps"),
        ({"budget_methods": ("dmx",), "budget_formats": ("int4+int8",)}, "MX elements"),
        ({"calibration_texts": ("none",)}, "needs calibration text"),
    ],
    ids=str,
)
def test_a_budget_that_cannot_be_spent_is_refused_before_it_is_submitted(values, sentence):
    with pytest.raises(InvalidRecipe, match=sentence):
        changed(**{"budget_methods": ("knapsack",), **values}).recipes()


@pytest.mark.parametrize(
    ("typed", "values", "again"),
    [
        ("", ("",), ""),
        ("none, down_proj=mxfp4", ("", "down_proj=mxfp4"), "none, down_proj=mxfp4"),
        ("3=mxfp4   0=mxfp4", ("3=mxfp4 0=mxfp4",), "3=mxfp4 0=mxfp4"),
    ],
)
def test_pins_are_typed_with_blanks_between_them(typed, values, again):
    assert parse("pins", typed) == values
    assert numbers_text("pins", values) == again


@pytest.mark.parametrize("typed", ["down_proj", "=mxfp4", "down_proj=mxfp5"])
def test_a_word_that_is_no_pin_is_refused_with_an_example(typed):
    with pytest.raises(InvalidRecipe, match="names no layer and format") as refused:
        parse("pins", typed)
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
    assert "knob.budget_formats" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.budget_methods").set_value(["uniform", "kl"]).run()
    assert "brings its own formats" in " ".join(item.value for item in app.caption)
    app.get_by_key("knob.budgets").set_value("4.5, 5").run()
    app.get_by_key("knob.pins").set_value("down_proj=mxfp8_e4m3").run()
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
    app.get_by_key("knob.budget_methods").set_value(["knapsack"]).run()
    app.get_by_key("knob.budgets").set_value("9").run()
    assert app.get_by_key("submit").disabled
    assert "lies outside 4 to 8" in " ".join(item.value for item in app.error)
