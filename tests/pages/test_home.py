"""Home, and what every empty page offers."""

from __future__ import annotations

import pytest

from pages._ui.form.presets import DEMO
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from tests.pages.helpers_app import button, spec, texts
from tests.report.factories import report_of


@pytest.mark.parametrize("page", ["home", "jobs", "pareto"])
def test_an_empty_page_offers_the_demo_sweep_and_the_button_submits_it(bench, page):
    app = bench.open(page)
    button(app, "Run the demo sweep").click().run()
    assert [r.digest for r in bench.queue.submitted] == [r.digest for r in DEMO.recipes()]
    assert app.title[0].value == "Is it moving?"


def test_home_shows_the_front_the_newest_runs_and_the_machine(bench):
    bench.library.add(report_of(Recipe()))
    bench.queue.add(Recipe(), JobState.RUNNING)
    app = bench.open()
    assert spec(app)["data"]
    assert "The measured front so far" in texts(app)
    assert {metric.label: metric.value for metric in app.metric}["Cache"] == "12.3 MB"
