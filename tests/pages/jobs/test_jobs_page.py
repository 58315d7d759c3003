"""Jobs: what runs, its stages, its log, and the buttons of a job and of a sweep."""

from __future__ import annotations

import pytest

from qcore.jobs.protocol import JobState
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from tests.pages.helpers_app import button, texts


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
    headings = [item.proto.text for item in app.get("progress")]
    assert any("300 runs: 1 running, 299 queued" in heading for heading in headings)
    button(app, "Cancel all").click().run()
    button(app, "Resume all").click().run()
    assert bench.queue.asked == [("cancel sweep", "many"), ("resume sweep", "few")]


def test_the_log_opens_on_demand(bench):
    bench.queue.add(Recipe(), JobState.FINISHED, report="ab" * 8)
    app = bench.open("jobs")
    assert not app.code
    button(app, "Log").click().run()
    assert app.code[0].value == "a line that the worker printed"
