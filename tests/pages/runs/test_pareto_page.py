"""Pareto: links, comparison groups and runs that do not exist."""

from __future__ import annotations

from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from tests.pages.helpers_app import spec, texts
from tests.report.factories import report_of


def test_a_link_reopens_pareto_with_its_runs_and_shows_the_report(bench):
    first, second = (
        bench.library.add(report_of(Recipe.from_dict({"weights": {"format": name}})))
        for name in ("int4", "int8")
    )
    app = bench.open("pareto", runs=f"{first.id},{second.id}")
    rings = next(trace for trace in spec(app)["data"] if trace.get("name") == "selected")
    assert rings["mode"] == "markers"
    assert title_of(first.recipe) in texts(app)
    assert "the baseline is dequantized" in " ".join(item.value for item in app.info).replace(
        "\\", ""
    )


def test_runs_scored_on_other_tokens_are_not_drawn_together(bench):
    bench.library.add(report_of(Recipe()))
    bench.library.add(report_of(Recipe.from_dict({"evaluation": {"windows": 4}})))
    app = bench.open("pareto")
    drawn = [trace for trace in spec(app)["data"] if "customdata" in trace]
    assert sum(len(trace["customdata"]) for trace in drawn) == 1
    assert len(app.selectbox[0].options) == 2


def test_an_unknown_run_in_the_address_is_a_sentence_not_a_stack_trace(bench):
    bench.library.add(report_of(Recipe()))
    app = bench.open("pareto", runs="ffffffffffffffff")
    assert "0 reports start with ffffffffffffffff" in texts(app)
