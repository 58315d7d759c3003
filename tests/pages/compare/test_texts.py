"""Texts side by side: asked for by jobs, shown from the cache, marked where they part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cache.digest import digest
from cache.store import Cache
from pages._ui import engine
from pages._ui.compare import texts as side_by_side
from qcore.analysis.continuations import float_recipe
from qcore.evaluation.continuation import Continuation
from qcore.jobs.protocol import JobState
from qcore.pipeline.stage import continuation_key
from qcore.report.report import Report, StageReport
from qcore.serialization import to_plain
from tests.pages.compare.test_compare_page import HARD, run, texts
from tests.pages.compare.test_hurt import button

PROMPT = side_by_side.PROMPTS[0]
LOAD = digest(["load"])


@pytest.fixture
def cache(bench, tmp_path, monkeypatch) -> Cache:
    made = Cache(tmp_path / "cache")
    monkeypatch.setattr(engine, "cache", lambda: made)
    return made


@pytest.fixture
def pair(bench) -> list[Report]:
    found = []
    for method in ("rtn", "gptq"):
        stages = (
            StageReport("load", LOAD, 1.0, True),
            StageReport("quantize", digest(["quantize", method]), 1.0, False),
        )
        found.append(bench.library.add(replace(run(method, HARD), stages=stages)))
    return found


def say(cache: Cache, report: Report | None, any_run: Report, *pieces: str) -> None:
    """Keep what a run says, or the float network where there is none."""
    said = Continuation(tuple(hash(piece) % 1000 for piece in pieces), pieces, ended=False)
    recipe = float_recipe(any_run) if report is None else report.recipe
    network = LOAD if report is None else report.stages[1].key
    cache.put_record(continuation_key(network, recipe, PROMPT), to_plain(said))


def opened(bench, pair):
    return bench.open("compare", runs=",".join(report.id for report in pair))


def test_a_click_queues_one_job_for_the_float_network_and_one_for_each_run(bench, cache, pair):
    app = opened(bench, pair)
    button(app, "Continue the text with Float, A and B").click().run()
    assert bench.queue.submitted == [float_recipe(pair[0]), *(run.recipe for run in pair)]
    assert set(bench.queue.ensured) == {f"continuation {PROMPT}"}
    assert not any(item.label.startswith("Continue the text") for item in app.button)
    assert len([item for item in app.button if item.label == "Cancel"]) == 3


def test_what_was_said_is_shown_with_the_first_other_token_marked(bench, cache, pair):
    a, b = pair
    say(cache, None, a, " Paris", ",", " which", " is")
    say(cache, a, a, " Paris", ",", " which", " is")
    say(cache, b, a, " Paris", ",", " <b>a", " city")
    app = opened(bench, pair)
    html = [item.value for item in app.get("html") if 'class="said"' in item.value]
    assert len(html) == 3
    assert "<mark>" not in html[1]
    assert " Paris,<mark> &lt;b&gt;a</mark> city" in html[2]
    said = texts(app)
    assert "all of it as the float network" in said
    assert "equal for 2 of 4 tokens (50 %)" in said


def test_only_what_is_missing_is_asked_for(bench, cache, pair):
    a, b = pair
    say(cache, None, a, " Paris")
    say(cache, a, a, " Paris")
    app = opened(bench, pair)
    button(app, "Continue the text with B").click().run()
    assert bench.queue.submitted == [b.recipe]


def test_a_failed_job_says_why_and_can_be_asked_again(bench, cache, pair):
    for recipe in (float_recipe(pair[0]), *(report.recipe for report in pair)):
        ensure = f"continuation {PROMPT}"
        bench.queue.add(recipe, JobState.FAILED, ensure=ensure, message="<b>no</b> memory left")
    app = opened(bench, pair)
    errors = "".join(item.value for item in app.error)
    assert "memory left" in errors
    assert "<b>" not in errors
    assert button(app, "Continue the text with Float, A and B")


def test_a_running_job_shows_its_text_and_can_be_cancelled(bench, cache, pair):
    job = bench.queue.add(
        pair[1].recipe,
        JobState.RUNNING,
        ensure=f"continuation {PROMPT}",
        message="… Paris is *a*",
        done=3,
        total=64,
    )
    app = opened(bench, pair)
    assert "running: 3 of 64: … Paris is *a*" in texts(app)
    button(app, "Cancel").click().run()
    assert bench.queue.asked == [("cancel", job.id)]


@pytest.mark.parametrize("prompt", ["x" * 1001, "   "])
def test_a_prompt_that_is_none_is_refused_in_a_sentence(bench, cache, pair, prompt):
    app = opened(bench, pair)
    app.text_area(key="compare.prompt").set_value(prompt).run()
    assert not app.exception
    assert "prompt" in "".join(item.value for item in app.error).lower()


def test_an_offered_prompt_is_taken_into_the_text(bench, cache, pair):
    app = opened(bench, pair)
    offered = next(item for item in app.button_group if item.key == "compare.offered")
    offered.set_value(side_by_side.PROMPTS[2]).run()
    assert app.text_area(key="compare.prompt").value == side_by_side.PROMPTS[2]
    assert not app.exception


def test_a_run_of_the_float_network_is_asked_once(bench, cache, pair):
    recipe = replace(float_recipe(pair[0]), seed=3)
    stages = (StageReport("load", LOAD, 1.0, True),)
    plain = run("rtn", HARD)
    plain = bench.library.add(replace(plain, id="f" * 16, recipe=recipe, stages=stages))
    app = opened(bench, [plain, pair[1]])
    button(app, "Continue the text with Float and B").click().run()
    assert len(bench.queue.submitted) == 2
    assert "which is A" in texts(app)
