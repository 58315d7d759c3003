"""Jobs: what runs, its stages, its log, and the buttons of a job and of a sweep."""

from __future__ import annotations

import pytest

from pages._ui import palette, tab
from pages._ui.jobs import sweeps
from qcore.jobs.protocol import JobState, Sweep
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from tests.pages.helpers_app import button, specs, texts
from tests.report.factories import report_of


def test_a_running_job_shows_its_stages_with_counts_and_can_be_cancelled(bench):
    job = bench.queue.add(Recipe(), JobState.RUNNING, device="cpu", started=1.0)
    bench.queue.history[job.id] = [
        Event("load", kind="stage"),
        Event("load", 1, 1, kind="stage", cached=True),
        Event("quantize", 87, 210),
    ]
    app = bench.open("jobs")
    page = " ".join(item.proto.body for item in app.get("html"))
    assert "load · cached" in page
    assert "quantize 87/210" in page
    button(app, "Cancel").click().run()
    assert bench.queue.asked == [("cancel", job.id)]


@pytest.mark.parametrize(("state", "label"), [("failed", "Retry"), ("cancelled", "Resume")])
def test_an_ended_job_can_go_on(bench, state, label):
    job = bench.queue.add(Recipe(), JobState(state), message="killed by signal 9")
    app = bench.open("jobs")
    button(app, label).click().run()
    assert bench.queue.asked == [("resume", job.id)]
    assert state != "failed" or "killed by signal 9" in texts(app)


def test_a_job_for_one_stage_is_called_by_it_and_leads_to_what_draws_it(bench):
    recipe = Recipe()
    job = bench.queue.add(recipe, JobState.FINISHED, ensure="capture", ended=7.0)
    bench.queue.history[job.id] = [
        Event("load", 1, 1, kind="stage"),
        Event("capture", 1, 1, kind="stage"),
    ]
    app = bench.open("jobs")
    assert f"capture of {title_of(recipe)}" in texts(app)
    (strip,) = [item.proto.body for item in app.get("html") if "Stages of job" in item.proto.body]
    assert "load" in strip
    assert "capture" in strip
    assert "quantize" not in strip, "no other stage is to come"
    assert "Outliers" in [link.proto.label for link in app.get("page_link")]


def test_the_buttons_of_a_sweep_of_hundreds_mean_the_whole_sweep(bench):
    running = JobState.RUNNING
    for number in range(300):
        state = running if number == 0 else JobState.QUEUED
        bench.queue.add(Recipe(seed=number), state, sweep="many", started=1.0)
    for number in range(2):
        bench.queue.add(Recipe(seed=400 + number), JobState.CANCELLED, sweep="few")
    app = bench.open("jobs")
    page = texts(app)
    assert "running" in page, "the job that runs is in sight"
    assert "300 runs: 1 running, 299 queued" in page
    button(app, "Cancel all").click().run()
    button(app, "Resume all").click().run()
    assert bench.queue.asked == [("cancel sweep", "many"), ("resume sweep", "few")]


def test_the_log_opens_on_demand(bench):
    bench.queue.add(Recipe(), JobState.FINISHED, report="ab" * 8)
    app = bench.open("jobs")
    assert not app.code
    button(app, "Log").click().run()
    assert app.code[0].value == "a line that the worker printed"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_without_a_report_can_be_cloned(bench, state):
    recipe = Recipe.from_dict({"weights": {"format": "int3"}, "seed": 5})
    job = bench.queue.add(recipe, JobState(state), message="killed")
    app = bench.open("jobs")
    (link,) = [each.proto for each in app.get("page_link") if each.proto.label == "Clone"]
    assert job.id in link.query_string
    app = bench.open("new_run", clone=job.id)
    app.get_by_key("submit").click().run()
    assert bench.queue.submitted == [recipe]


def test_a_sweep_has_an_address_of_its_own(bench):
    for sweep in ("one", "two"):
        for seed in range(2):
            bench.queue.add(Recipe(seed=seed), JobState.QUEUED, sweep=sweep)
    app = bench.open("jobs", sweep="two")
    bars = [item.proto.body for item in app.get("html") if "2 runs: 2 queued" in item.proto.body]
    assert len(bars) == 1
    assert "There is no sweep three" in texts(bench.open("jobs", sweep="three"))


def test_the_cancelled_share_of_a_sweep_is_grey():
    states = {JobState.FINISHED: 1, JobState.CANCELLED: 2, JobState.QUEUED: 1}
    drawn = sweeps.bar(Sweep("s", 0.0, states))
    assert f"flex:2;background:{palette.NEUTRAL}" in drawn


def test_the_log_tells_what_happened_and_what_the_cache_had(bench):
    job = bench.queue.add(Recipe(), JobState.RUNNING, started=1.0)
    bench.queue.history[job.id] = [
        Event("load", kind="stage", time=1.0),
        Event("load", 1, 1, kind="stage", cached=True, time=2.0),
        Event("quantize", 0, 210, kind="stage", time=2.0),
        Event("quantize", 7, 210, time=3.0),
        Event("quantize", 210, 210, kind="stage", time=5.5),
    ]
    app = bench.open("jobs")
    button(app, "Log").click().run()
    page = texts(app).replace("\u2060", "").replace("\\", "")
    assert "load: from the cache" in page
    assert "quantize begins" in page
    assert "quantize: 3.5 s" in page


def test_the_tab_says_how_many_jobs_run(bench, monkeypatch):
    told = []
    monkeypatch.setattr(tab.st, "set_page_config", lambda **given: told.append(given))
    bench.queue.add(Recipe(), JobState.RUNNING, started=1.0)
    bench.open("jobs")
    assert {"page_title": "(1 running) Jobs · Quantscope"} in told


def test_pareto_shows_the_front_of_one_sweep_alone(bench):
    runs = []
    for name in ("int3", "int4", "int8"):
        recipe = Recipe.from_dict({"weights": {"format": name}})
        runs.append(bench.library.add(report_of(recipe)).id)
        sweep = "ours" if name != "int8" else ""
        bench.queue.add(recipe, JobState.FINISHED, sweep=sweep, report=runs[-1])
    app = bench.open("pareto", sweep="ours")
    drawn = {run for trace in specs(app)[0]["data"] for run in trace.get("customdata", [])}
    assert drawn == set(runs[:2])
    button(app, "Show all runs").click().run()
    assert "sweep" not in app.query_params
