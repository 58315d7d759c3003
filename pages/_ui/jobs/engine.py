"""What the Jobs page knows of each job's events, kept from one tick of its clock to the next.

One memory for all browsers that look: a tick takes in what a job has said since the last one, and
an ended job, once read, is not opened again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import streamlit as st

from pages._ui import engine
from pages._ui.jobs.forecast import Foresight, left
from pages._ui.jobs.timeline import StageProgress, Timeline
from qcore.errors import QuantscopeError
from qcore.jobs.protocol import Backend, Job, JobState
from qcore.machine.home import home

KEPT_JOBS = 2000
"""Jobs whose timelines are remembered; one takes some kilobytes."""


def stages(job: Job, queue: Backend, now: float) -> list[StageProgress]:
    """The job's stages as they stand."""
    if job.state is JobState.QUEUED:
        return Timeline(job).steps(job, now)
    return _following(home()).stages(job, queue, (job.ended or 0.0) if job.state.ended else now)


def warnings(job: Job, queue: Backend) -> tuple[dict[str, int], int]:
    """The job's newest different warnings with how often each came; how many are older."""
    return _following(home()).warnings(job, queue)


def foresight(queue: Backend) -> Foresight:
    """The jobs that have not ended, and what their stages will take."""
    running = [job for job in queue.jobs(1) if job.state is JobState.RUNNING]
    jobs = (*running, *(queue.status(job) for job in queue.queue()[:LOOKED_AHEAD]))
    return _foreseen(home()).of(jobs, engine.index().stamp)


def seconds_left(job: Job, queue: Backend, foreseen: Foresight, now: float) -> float | None:
    """Seconds to the end of a job once it runs: of one that waits, all that it takes."""
    if job.state is JobState.QUEUED:
        return foreseen.waiting_seconds(job.id)
    return left(job, stages(job, queue, now), foreseen.expected.get(job.id, {}))


class Foreseen:
    """The newest foresight, made anew when a job ends or comes; safe to share between threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._key: tuple[object, ...] = ()
        self._expected: dict[str, dict[str, float | None]] = {}

    def of(self, jobs: tuple[Job, ...], stamp: int) -> Foresight:
        """What these jobs' stages will take; the caller's jobs are newer than the answer's age."""
        key = (stamp, *((job.id, job.attempt) for job in jobs))
        with self._lock:
            if key != self._key:
                known = self._expected
                self._expected = _expected(jobs)
                for (
                    job
                ) in jobs:  # what ran when it was looked at has half of its stages in the cache
                    if job.state is JobState.RUNNING and job.id in known:
                        self._expected[job.id] = known[job.id]
                self._key = key
            return Foresight(jobs, self._expected)


def _expected(jobs: tuple[Job, ...]) -> dict[str, dict[str, float | None]]:
    whole = [job for job in jobs if not job.ensure]
    try:
        rows = engine.schedule([job.recipe for job in whole])
    except QuantscopeError:
        return {}
    return {
        job.id: {stage.name: stage.seconds for stage in row}
        for job, row in zip(whole, rows, strict=True)
    }


LOOKED_AHEAD = 48
"""Queued jobs whose time is foreseen."""


class Following:
    """The timelines of jobs; safe to share between threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._timelines: OrderedDict[str, Timeline] = OrderedDict()
        self._ended: dict[str, tuple[int, float | None]] = {}

    def stages(self, job: Job, queue: Backend, now: float) -> list[StageProgress]:
        """The stages of a job with all that it has said by now."""
        with self._lock:
            return self._timeline(job, queue).steps(job, now)

    def warnings(self, job: Job, queue: Backend) -> tuple[dict[str, int], int]:
        """Its newest different warnings with how often each came; how many are older."""
        with self._lock:
            return self._timeline(job, queue).warnings()

    def _timeline(self, job: Job, queue: Backend) -> Timeline:
        end = (job.attempt, job.ended) if job.state.ended else None
        timeline = self._timelines.get(job.id) or Timeline(job)
        self._timelines[job.id] = timeline
        self._timelines.move_to_end(job.id)
        if end is None or self._ended.get(job.id) != end:
            timeline.feed(queue.events(job.id, after=timeline.seen))
            self._ended.pop(job.id, None)
            if end is not None:
                self._ended[job.id] = end
        while len(self._timelines) > KEPT_JOBS:
            self._ended.pop(self._timelines.popitem(last=False)[0], None)
        return timeline


@st.cache_resource(show_spinner=False)
def _foreseen(root: Path) -> Foreseen:
    del root  # names the queue
    return Foreseen()


@st.cache_resource(show_spinner=False)
def _following(root: Path) -> Following:
    del root  # names the queue
    return Following()
