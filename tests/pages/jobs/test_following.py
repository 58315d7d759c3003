"""What the Jobs page remembers of events between two ticks of its clock."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pages._ui.jobs import timeline
from pages._ui.jobs.engine import Following
from pages._ui.jobs.timeline import Timeline
from qcore.jobs import events
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import Job, JobState
from qcore.progress import Event
from qcore.recipe import Recipe

RUNNING = Job("0" * 12, Recipe(), JobState.RUNNING, created=0.0, started=0.0)
SAID = [
    Event("load", 1, 1, kind="stage", time=1.0),
    Event("capture", 3, 9, time=2.0),
    Event("job", message="starting on cpu", kind="state", time=3.0),
    Event("load", 1, 1, kind="stage", cached=True, time=4.0),
    Event("transform", 1, 4, time=5.0),
    Event("transform", message="odd", kind="warning", time=6.0),
    Event("quantize", 2, 8, time=7.0),
]


@pytest.fixture
def queue(tmp_path: Path):
    made = LocalBackend(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("cut", range(len(SAID) + 1))
def test_events_that_come_in_two_parts_tell_what_all_of_them_tell(cut: int) -> None:
    told = Timeline(RUNNING).feed(SAID[:cut])
    told.steps(RUNNING, 9.0)
    assert told.feed(SAID[cut:]).steps(RUNNING, 9.0) == timeline.steps(RUNNING, SAID, 9.0)
    assert told.seen == len(SAID)


def test_a_tick_parses_what_is_new_and_an_ended_job_is_read_once(
    queue: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    true = events._parsed
    monkeypatch.setattr(events, "_parsed", lambda line: (parsed.append(line), true(line))[1])
    path = queue.event_file(RUNNING.id)
    for index in range(50):
        events.append(path, Event("evaluate", index, 60, time=float(index)))
    following = Following()
    following.stages(RUNNING, queue, 50.0)
    assert len(parsed) == 50
    events.append(path, Event("evaluate", 55, 60, time=55.0))
    shown = {step.name: step.done for step in following.stages(RUNNING, queue, 56.0)}
    assert len(parsed) == 51
    assert shown["evaluate"] == 55
    ended = dataclasses.replace(RUNNING, state=JobState.CANCELLED, ended=57.0)
    assert following.stages(ended, queue, 57.0)[-1].state == "stopped"
    path.unlink()
    assert following.stages(ended, queue, 57.0)[-1].state == "stopped"


def test_equal_warnings_are_drawn_once_and_only_the_newest_ones() -> None:
    said = [Event("load", message="again", kind="warning", time=0.0)] * 3
    said += [Event("load", message=f"no. {index}", kind="warning") for index in range(100_000)]
    said += [Event("load", message="again", kind="warning", time=0.0)]
    kept, older = Timeline(RUNNING).feed(said).warnings()
    assert len(kept) == timeline.KEPT_WARNINGS
    assert list(kept)[-2:] == ["no. 99999", "again"]
    assert older + sum(kept.values()) == len(said)
