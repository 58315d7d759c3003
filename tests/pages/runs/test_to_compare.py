"""From Pareto, Home, Bits and Jobs to Compare in one click, and back with the same selection."""

from __future__ import annotations

import pytest

from pages._ui.bits import engine as bits
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe, Weights
from qcore.report.labels import Labels
from tests.explore.factories import mixed_report, recipe_of, sensitivities
from tests.report.factories import report_of


@pytest.fixture
def runs(bench) -> list[str]:
    made = [report_of(Recipe(weights=Weights(name))) for name in ("int4", "int3", "int8")]
    return [bench.library.add(report).id for report in made]


def press(app, label: str):
    next(item for item in app.button if item.label == label).click().run()
    assert not app.exception


def test_home_opens_compare_with_the_selected_points(bench, runs):
    app = bench.open("home", runs=f"{runs[0]},{runs[2]}")
    press(app, "Compare 2")
    assert app.multiselect[0].value == [runs[0], runs[2]]


def test_bits_opens_compare_with_the_selected_rows(bench, monkeypatch):
    monkeypatch.setattr(bits, "cached", lambda recipe: sensitivities())
    made = [mixed_report(recipe_of(method)) for method in ("knapsack", "kl")]
    ids = [bench.library.add(report).id for report in made]
    app = bench.open("bits", runs=",".join(ids))
    press(app, "Compare 2")
    assert app.multiselect[0].value == ids


def test_a_sweep_on_jobs_offers_the_comparison_of_its_runs(bench, runs):
    for run in runs:
        bench.queue.add(Recipe(), JobState.FINISHED, sweep="s", report=run)
    app = bench.open("jobs")
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    named = links["Compare"].query_string.removeprefix("runs=").split("%2C")
    assert set(named) == set(runs)


def test_going_back_to_pareto_keeps_the_selection(bench, runs):
    app = bench.open("pareto", runs=f"{runs[0]},{runs[1]}")
    press(app, "Compare 2")
    app.switch_page("pages/pareto.py").run()
    assert app.query_params["runs"] in (f"{runs[0]},{runs[1]}", [f"{runs[0]},{runs[1]}"])


def test_the_pinned_baseline_is_compares_baseline(bench, runs, tmp_path):
    Labels(tmp_path).change([runs[1]], baseline=True)
    app = bench.open("compare", runs=",".join(runs))
    assert app.selectbox[0].value == runs[1]


def test_an_archived_run_in_an_address_is_still_compared(bench, runs, tmp_path):
    Labels(tmp_path).change([runs[1]], archived=True)
    app = bench.open("compare", runs=",".join(runs))
    assert len(app.multiselect[0].value) == 3
