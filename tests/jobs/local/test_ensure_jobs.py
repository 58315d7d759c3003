"""Jobs that make sure of one stage: beside whole runs of the same recipe, and never twice."""

from __future__ import annotations

import pytest

from qcore.errors import InvalidRecipe, JobError
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.jobs.helpers_home import Home
from tests.jobs.helpers_worker import HOLD, QUICK, REFUSED


def test_a_job_for_one_stage_makes_it_and_leaves_no_report(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=QUICK)], ensure="capture")
    assert job.ensure == "capture"
    done = home.ended(job)
    assert done.state is JobState.FINISHED, home.backend.logs(job.id)
    assert (done.report, done.ensure) == ("", "capture")
    assert [line[2] for line in home.diary("ensure")] == ["capture"]
    assert not home.diary("begin")
    assert not Library(home.root).ids()
    said = [(event.stage, event.message) for event in home.backend.events(job.id)]
    assert said == [("job", "starting on cpu"), ("capture", ""), ("job", "finished")]


def test_a_request_is_live_once_and_other_requests_of_its_recipe_beside_it(home: Home) -> None:
    recipe = Recipe(seed=HOLD)
    (first,) = home.backend.submit([recipe], ensure="capture")
    (twin,) = home.backend.submit([recipe], ensure="capture")
    (other,) = home.backend.submit([recipe], ensure="quantize")
    (run,) = home.backend.submit([recipe])
    assert first.id == twin.id
    assert len({first.id, other.id, run.id}) == 3
    home.go()
    for job in (first, other, run):
        assert home.ended(job).state is JobState.FINISHED
    assert Library(home.root).get(home.backend.status(run.id).report).recipe == recipe
    assert [line[2] for line in home.diary("ensure")] == ["capture", "quantize"]


def test_a_stopped_job_for_one_stage_resumes_as_such_unless_it_is_live_again(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=REFUSED)], ensure="capture")
    assert home.ended(job).message.startswith("the text has 3 tokens")
    again = home.backend.resume(job.id)
    assert (again.ensure, again.attempt) == ("capture", 2)
    assert home.ended(job).state is JobState.FAILED
    assert len(home.diary("ensure")) == 2
    (held,) = home.backend.submit([Recipe(seed=HOLD)], ensure="capture")
    home.backend.cancel(held.id)
    home.ended(held)
    (other,) = home.backend.submit([Recipe(seed=HOLD)], ensure="capture")
    with pytest.raises(JobError, match=f"live already as job {other.id}"):
        home.backend.resume(held.id)
    home.go()
    home.ended(other)


def test_a_stage_that_one_recipe_lacks_queues_nothing(home: Home) -> None:
    with pytest.raises(InvalidRecipe, match="no stage 'sensitivity'; choose load, reference"):
        home.backend.submit([Recipe(seed=QUICK)], ensure="sensitivity")
    floats = Recipe.from_dict({"weights": None})
    with pytest.raises(InvalidRecipe, match="no stage 'capture'"):
        home.backend.submit([Recipe(seed=QUICK), floats], ensure="capture")
    assert home.backend.jobs() == []
