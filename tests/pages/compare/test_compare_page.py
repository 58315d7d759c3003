"""The Compare page: verdicts, differences, knobs, layers, and what it refuses in a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from qcore.recipe import Evaluation, Recipe, Rounding, ScalesPart, Weights
from qcore.report.report import Report
from tests.pages.helpers_app import spec
from tests.report.factories import report_of

HARD = np.array([3.0, 2.2, 4.1, 2.9, 3.6, 2.4, 3.3, 3.9])


def run(method: str = "rtn", losses=HARD, model: str = "tiny", **recipe) -> Report:
    made = Recipe(
        weights=Weights("int4"), scales=ScalesPart("absmax"), rounding=Rounding(method), **recipe
    )
    return report_of(made, window_losses=tuple(map(float, losses)), model=model)


@pytest.fixture
def pair(bench) -> tuple[Report, Report]:
    better = HARD - 0.03 + np.linspace(-0.005, 0.005, 8)
    return bench.library.add(run()), bench.library.add(run("gptq", better))


def texts(app) -> str:
    parts = [*app.markdown, *app.caption, *app.subheader, *app.error, *app.info, *app.warning]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


def test_an_empty_library_offers_the_demo_sweep(bench):
    app = bench.open("compare")
    assert any(button.label == "Run the demo sweep" for button in app.button)


def test_without_a_choice_the_page_says_what_to_choose(bench, pair):
    app = bench.open("compare")
    assert "Choose two runs or more" in texts(app)


def test_an_address_opens_the_comparison_as_it_stood(bench, pair):
    a, b = pair
    app = bench.open("compare", runs=f"{a.id},{b.id}", base=b.id)
    said = texts(app)
    assert "Worse by 0.030" in said
    assert "8 windows of 512 tokens" in said
    assert app.query_params["base"] in (b.id, [b.id])


def test_a_difference_stands_in_the_forest_with_its_interval_and_in_the_table(bench, pair):
    a, b = pair
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    trace = spec(app)["data"][0]
    assert trace["name"] == "better"
    assert trace["y"] == ["B"]
    table = app.dataframe[0].value
    row = table[(table["Metric"] == "Loss") & (table["Run"] == "B")].iloc[0]
    assert row["Difference"].startswith("−0.03")
    assert row["Says"] == "better"


def test_only_knobs_that_differ_are_shown(bench, pair):
    a, b = pair
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    knobs = app.dataframe[1].value
    assert list(knobs["Knob"]) == ["rounding.method"]
    assert list(knobs.iloc[0][["A", "B"]]) == ["rtn", "gptq"]


def test_layers_stand_side_by_side(bench, pair):
    a, b = pair
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert [trace["name"] for trace in spec(app, 1)["data"]] == ["A", "B"]
    assert "layers" in texts(app)


def test_runs_on_other_windows_are_refused_in_a_sentence(bench):
    a = bench.library.add(run())
    b = bench.library.add(run(evaluation=Evaluation(length=256)))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "512 and 256 tokens" in texts(app)
    assert not app.exception


def test_an_unknown_run_in_the_address_is_said_and_left_out(bench, pair):
    a, b = pair
    app = bench.open("compare", runs=f"{a.id},{'f' * 16},{b.id}")
    assert "There is no run" in texts(app)
    assert "Better by" in texts(app)


def test_seven_runs_in_the_address_are_cut_to_what_a_comparison_holds(bench):
    runs = [bench.library.add(run(seed=number)) for number in range(7)]
    app = bench.open("compare", runs=",".join(report.id for report in runs))
    assert len(app.multiselect[0].value) == 6
    assert "7 runs are named" in texts(app)


def test_a_report_that_cannot_be_read_is_said_and_the_rest_is_compared(bench, pair):
    a, b = pair
    c = bench.library.add(run("gpfq", HARD))
    app = bench.open("compare", runs=f"{a.id},{b.id},{c.id}")
    assert "Better by" in texts(app)
    path = next((bench.library._folder).glob(f"{c.id}.json"))
    path.write_text("{", encoding="utf-8")
    app.run()
    assert not app.exception
