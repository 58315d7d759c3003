"""Bars and time left go by what stages take, not by how many there are."""

from __future__ import annotations

import pytest

from pages._ui.jobs import forecast
from pages._ui.jobs.forecast import Foresight
from pages._ui.jobs.timeline import StageProgress
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe


def job(name: str = "a", state: JobState = JobState.RUNNING) -> Job:
    return Job(name, Recipe(), state, 0.0)


def test_a_long_stage_counts_as_long_as_it_takes() -> None:
    stages = [
        StageProgress("load", "done", seconds=2.0),
        StageProgress("capture", "cached"),
        StageProgress("quantize", "running", seconds=4.0),
        StageProgress("evaluate"),
    ]
    expected = {"load": 2.0, "capture": 0.0, "quantize": 10.0, "evaluate": 8.0}
    assert forecast.left(job(), stages, expected) == pytest.approx(6 + 8)
    assert forecast.fraction(job(), stages, expected) == pytest.approx(6 / 20)


def test_a_stage_that_has_a_pace_goes_by_it_and_one_that_is_late_promises_nothing() -> None:
    paced = [StageProgress("quantize", "running", 5, 10, seconds=3.0, left=3.0)]
    late = [StageProgress("quantize", "running", seconds=30.0)]
    assert forecast.left(job(), paced, {"quantize": 50.0}) == 3.0
    assert forecast.left(job(), late, {"quantize": 10.0}) == 0.0


def test_an_unknown_stage_leaves_the_time_unknown_and_the_bar_standing() -> None:
    stages = [StageProgress("load", "done", seconds=5.0), StageProgress("sensitivity")]
    assert forecast.left(job(), stages, {"load": 5.0}) is None
    assert forecast.fraction(job(), stages, {"load": 5.0}) == pytest.approx(0.5)
    assert forecast.fraction(job(state=JobState.FINISHED), stages, {}) == 1.0
    assert forecast.left(job(state=JobState.QUEUED), stages, {}) is None


def test_a_queued_job_has_a_place_behind_what_runs() -> None:
    queued = (job("b", JobState.QUEUED), job("c", JobState.QUEUED))
    foreseen = Foresight((job(), *queued), {"c": {"load": 1.0, "quantize": 4.0}})
    assert [foreseen.place(name) for name in "abc"] == [None, 1, 2]
    assert foreseen.waiting_seconds("c") == 5.0
    assert foreseen.waiting_seconds("b") is None
