"""What the Jobs page knows of each job's events, kept from one tick of its clock to the next.

One memory for all browsers that look: a tick takes in what a job has said since the last one, and
an ended job, once read, is not opened again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import streamlit as st

from pages._ui.jobs.timeline import StageProgress, Timeline
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
def _following(root: Path) -> Following:
    del root  # names the queue
    return Following()
