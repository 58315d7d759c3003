"""All comparable runs at once: their lines, brushing, and which knob matters."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

from pages._ui.knobs.charts import parallel
from pages._ui.knobs.lines import axis_of, narrowed
from qcore.recipe import Recipe
from qcore.report.report import Metric, Report
from tests.pages.compare.test_compare_page import run, texts
from tests.pages.helpers_app import specs
from tests.report.factories import report_of


def measured(recipe: dict, log_kl: float) -> Report:
    made = report_of(Recipe.from_dict(recipe))
    kl = math.exp(log_kl)
    metrics = (made.metrics[0], Metric("kl", kl, "nats/token", "", 9, 0.9 * kl, 1.1 * kl))
    return report_of(made.recipe, metrics=metrics)


@pytest.fixture
def grid(bench) -> list[Report]:
    """Twelve runs: bits matter most, rounding less; a seed that nothing draws from, not at all."""
    random = np.random.default_rng(0)
    found = []
    for bits, method, seed in itertools.product((2, 3, 4), ("rtn", "gptq"), (0, 1)):
        recipe = {
            "weights": {"format": f"int{bits}", "group": 64 if seed else None},
            "scales": {"method": "absmax"},
            "rounding": {"method": method},
            "seed": seed,
        }
        effect = -1.5 * bits - 0.4 * (method == "gptq") + random.normal(0, 0.15)
        found.append(bench.library.add(measured(recipe, effect)))
    return found


def opened(bench, grid):
    return bench.open("compare", runs=f"{grid[0].id},{grid[1].id}")


def lines(app) -> dict:
    return next(one for one in specs(app) if one["layout"].get("dragmode") == "select")


def test_every_comparable_run_is_a_line_over_the_knobs_that_differ(bench, grid):
    app = opened(bench, grid)
    figure = lines(app)
    ids = {run for trace in figure["data"] for run in trace["customdata"] if run}
    assert ids == {report.id for report in grid}
    labels = figure["layout"]["xaxis"]["ticktext"]
    assert labels[0] == "Weights<br>format"
    assert labels[-2:] == ["Bits per weight", "KL divergence"]
    assert not any("Seed" in label for label in labels)


def test_what_each_knob_explains_is_said_with_the_method_and_how_sure_it_is(bench, grid):
    app = opened(bench, grid)
    (shares,) = [
        one
        for one in specs(app)
        if "explained variance" in one["layout"]["xaxis"].get("title", {}).get("text", "")
    ]
    bars = shares["data"][0]
    assert bars["y"][0] == "Weights · format"
    said = texts(app)
    assert "Shapley" in said
    assert "and foretell 9" in said
    assert "over 12 runs" in said


def test_too_few_runs_are_said_with_how_many_would_do(bench):
    a, b = bench.library.add(run()), bench.library.add(run("gptq"))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "too few to say which matters. Measure 8 or more" in texts(app)


def test_runs_on_other_tokens_and_archived_ones_stay_out(bench, grid):
    other = bench.library.add(
        measured({"weights": {"format": "int8"}, "evaluation": {"length": 64}}, -3)
    )
    from pages._ui import engine

    engine.labels().change([grid[-1].id], archived=True)
    app = opened(bench, grid)
    ids = {run for trace in lines(app)["data"] for run in trace["customdata"] if run}
    assert other.id not in ids
    assert ids == {report.id for report in grid[:-1]}


def test_brushed_runs_stand_in_a_table_and_are_compared_with_one_click(bench, grid):
    app = opened(bench, grid)
    app.session_state["kept.knobs.brushed"] = [grid[5].id, grid[6].id]
    app.run()
    assert "2 runs brushed" in texts(app)
    grey = lines(app)["data"][0]
    assert {run for run in grey["customdata"] if run} == {
        report.id for report in grid if report not in (grid[5], grid[6])
    }
    next(item for item in app.button if item.key == "knobs.compare").click().run()
    chosen = app.multiselect(key="compare.runs").value
    assert chosen[0] == grid[0].id
    assert set(chosen[1:]) == {grid[5].id, grid[6].id}
    assert ",".join(chosen) in app.query_params["runs"]
    next(item for item in app.button if item.key == "knobs.undo").click().run()
    assert "brushed" not in texts(app)


def test_a_second_brush_narrows_the_first_and_one_beside_it_begins_anew():
    assert narrowed([], ["a", "b"]) == ["a", "b"]
    assert narrowed(["a", "b"], ["b", "c"]) == ["b"]
    assert narrowed(["a", "b"], ["c"]) == ["c"]


def test_axes_place_words_evenly_numbers_by_size_and_metrics_by_their_logarithm():
    table = pd.DataFrame({"id": list("abc"), "kl": [0.01, 0.1, 1.0], "bits": [4.0, math.nan, 8.0]})
    knobs = {"a": {"rotation.block": "128"}, "b": {"rotation.block": "32"}, "c": {}}
    axis = axis_of("rotation.block", table, knobs)
    assert list(axis.places) == [1.0, 0.5, 0.0]
    assert [text for _, text in axis.ticks] == ["–", "32", "128"]
    assert list(axis_of("kl", table, knobs).places) == pytest.approx([0, 0.5, 1])
    bits = axis_of("bits", table, knobs).places
    assert (bits[0], bits[2]) == (0, 1)
    assert math.isnan(bits[1])


def test_values_with_markup_stay_text_in_the_figure():
    table = pd.DataFrame({"id": ["a", "b"]})
    knobs = {"a": {"calibration.text": "file:<b>x</b>"}, "b": {"calibration.text": "wikitext2"}}
    axis = axis_of("calibration.text", table, knobs)
    figure = parallel([axis], ["a", "b"], ["<b>one</b>", "two"], ())
    assert "<b>" not in json.dumps(figure.to_plotly_json(), default=str)
