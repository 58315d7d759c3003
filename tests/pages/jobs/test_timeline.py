"""A job's stages, as its events tell them."""

from __future__ import annotations

import pytest

from pages._ui.jobs import timeline
from qcore.jobs.protocol import Job, JobState
from qcore.progress import Event
from qcore.recipe import Recipe


def running(**values) -> Job:
    return Job("0" * 12, Recipe(), JobState.RUNNING, created=0.0, started=0.0, **values)


def test_time_left_is_what_the_pace_so_far_leaves():
    events = [
        Event("quantize", kind="stage", time=100.0),
        Event("quantize", 50, 200, time=110.0),
    ]
    stage = next(s for s in timeline.steps(running(), events, now=112.0) if s.name == "quantize")
    assert stage.left == pytest.approx(10.0 / 50 * 200 - 12.0)


def test_a_resumed_job_shows_its_newest_attempt_only():
    events = [
        Event("load", 1, 1, kind="stage", time=1.0),
        Event("quantize", 3, 9, time=2.0),
        Event("job", message="starting on cpu", kind="state", time=50.0),
        Event("load", 1, 1, kind="stage", cached=True, time=51.0),
    ]
    states = {step.name: step.state for step in timeline.steps(running(), events, now=52.0)}
    assert states["load"] == "cached"
    assert states["quantize"] == "waiting"


def test_a_stage_that_nobody_expected_takes_its_place():
    events = [Event("load", 1, 1, kind="stage", time=1.0), Event("transform", 1, 4, time=2.0)]
    names = [step.name for step in timeline.steps(running(), events, now=3.0)]
    assert names[:2] == ["load", "transform"]


def test_a_cancelled_job_stops_where_it_was():
    job = Job("0" * 12, Recipe(), JobState.CANCELLED, 0.0, started=0.0, ended=9.0)
    step = timeline.steps(job, [Event("capture", 2, 16, time=1.0)], now=99.0)
    assert {s.name: s.state for s in step}["capture"] == "stopped"
