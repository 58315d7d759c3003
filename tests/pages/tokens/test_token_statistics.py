"""Statistics over tokens on the Report: shown, copied, or offered to be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cache.store import Cache
from pages._ui import engine
from pages._ui.tokens import tables
from qcore.recipe import Recipe, Rounding, ScalesPart, Weights
from qcore.report.report import Report, StageReport
from tests.pages.tokens.factories import STATISTICS
from tests.report.factories import report_of


def run() -> Report:
    recipe = Recipe(weights=Weights("int4"), scales=ScalesPart("absmax"), rounding=Rounding("rtn"))
    made = report_of(recipe)
    stages = [
        StageReport(name, c * 64, 1.0, False) for name, c in (("reference", "c"), ("evaluate", "d"))
    ]
    return replace(made, stages=(*made.stages, *stages))


@pytest.fixture
def cache(bench, tmp_path, monkeypatch) -> Cache:
    made = Cache(tmp_path / "cache")
    monkeypatch.setattr(engine, "cache", lambda: made)
    return made


def test_a_report_shows_its_statistics(bench, cache):
    report = bench.library.add(replace(run(), tokens=STATISTICS))
    app = bench.open("pareto", runs=report.id)
    table = next(t.value for t in app.dataframe if "Statistic" in t.value.columns)
    rows = table.set_index("Statistic")
    assert rows.loc["KL mean", "Value"] == "0.05000"
    assert rows.loc["KL mean", "±"] == "0.0010"
    assert rows.loc["Same top token", "Value"] == "90.00"
    assert {"KL median", "KL 90 %", "KL 99 %", "KL 99.9 %", "KL maximum", "RMS Δp"} <= set(
        rows.index
    )


def test_a_report_from_before_offers_to_measure_its_tokens_and_nothing_else(bench, cache):
    report = bench.library.add(run())
    app = bench.open("pareto", runs=report.id)
    (button,) = [item for item in app.button if item.label == "Measure again"]
    button.click().run()
    assert bench.queue.ensured == ["evaluate"]
    assert bench.queue.submitted == [report.recipe]


def test_runs_stand_side_by_side_with_their_errors():
    table = tables.side_by_side([("A", STATISTICS), ("B", STATISTICS)])
    assert list(table.columns) == ["Statistic", "Unit", "A", "B"]
    assert table.loc[0, "B"] == "0.05000 ± 0.0010"
    assert table.loc[1, "B"] == "0.5000"
