"""Each page, empty and filled, and what its buttons do."""

from __future__ import annotations

import json

import pytest

from pages._ui import engine
from pages._ui.form.presets import DEMO, FOUNDATIONS
from qcore.errors import DataError
from qcore.jobs.protocol import JobState
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from tests.report.factories import report_of


def texts(app) -> str:
    """All that the page says in words."""
    parts = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.error, *app.info]
    return "\n".join(str(part.value) for part in parts)


def button(app, label: str):
    return next(item for item in app.button if item.label == label)


def spec(app) -> dict:
    return json.loads(app.get("plotly_chart")[0].proto.spec)


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


def test_the_count_follows_the_knobs_and_submit_queues_the_expanded_sweep(bench):
    app = bench.open("new_run")
    assert app.metric[0].value == "1"
    app.get_by_key("knob.weights.format/none").set_value(["+"]).run()
    app.get_by_key("knob.weights.format/symmetric").set_value(["int8", "int4", "int3"]).run()
    app.get_by_key("knob.scales.method").set_value(["absmax"]).run()
    app.get_by_key("knob.rounding.method").set_value(["+", "rtn", "gptq"]).run()
    app.get_by_key("knob.weights.group").set_value(["+", None, 64]).run()
    assert app.metric[0].value == "12"
    app.get_by_key("submit").click().run()
    assert {r.digest for r in bench.queue.submitted} == {r.digest for r in FOUNDATIONS.recipes()}


def test_an_invalid_combination_cannot_be_submitted_and_says_why(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.rounding.method").set_value(["gptq"]).run()
    app.get_by_key("knob.calibration.text").set_value([None]).run()
    assert app.get_by_key("submit").disabled
    assert "Gptq needs calibration text" in texts(app).replace("\\", "")


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("knob.evaluation.windows", "many", "is no number"),
        ("knob.evaluation.windows", "", "Nothing is chosen"),
        ("knob.evaluation.length", "1", "out of range"),
        ("knob.seed", "-1", "out of range"),
    ],
)
def test_a_number_that_does_not_fit_is_refused_with_a_sentence(bench, key, typed, sentence):
    app = bench.open("new_run")
    app.get_by_key(key).set_value(typed).run()
    assert app.get_by_key("submit").disabled
    assert sentence in texts(app)


def test_what_the_preview_refuses_cannot_be_submitted(bench, monkeypatch):
    def refuse(recipes):
        raise DataError("text file a.txt is empty", remedy="name another")

    monkeypatch.setattr(engine, "preview", refuse)
    app = bench.open("new_run")
    assert app.get_by_key("submit").disabled
    assert "Name another." in texts(app)


def test_the_form_keeps_its_knobs_while_another_page_is_open(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.weights.format/none").set_value(["+"]).run()
    app.get_by_key("knob.weights.format/symmetric").set_value(["int8", "int3"]).run()
    app.switch_page("pages/jobs.py").run()
    app.switch_page("pages/new_run.py").run()
    assert app.get_by_key("knob.weights.format/symmetric").value == ["int8", "int3"]


def test_a_preset_fills_the_form(bench):
    app = bench.open("new_run")
    app.get_by_key("preset").set_value(FOUNDATIONS.name).run()
    assert app.metric[0].value == "12"
    assert FOUNDATIONS.question in texts(app)


def test_a_clone_link_fills_the_form_from_a_run(bench):
    source = report_of(Recipe.from_dict({"weights": {"format": "mxfp4"}, "seed": 4_000_000_003}))
    bench.library.add(source)
    app = bench.open("new_run", clone=source.id)
    app.get_by_key("submit").click().run()
    assert bench.queue.submitted == [source.recipe]


def test_an_uploaded_sweep_fills_the_form_and_a_broken_one_is_refused(bench):
    app = bench.open("new_run")
    sweep = b'{"weights": {"format": ["int4", "int2"]}}'
    app.get_by_key("recipe.file").upload("s.json", sweep, "application/json").run()
    assert app.metric[0].value == "2"
    app.get_by_key("recipe.file").upload("s.json", b'{"wheels": 4}', "application/json").run()
    assert "nknown field wheels" in texts(app)
    assert not app.exception


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
