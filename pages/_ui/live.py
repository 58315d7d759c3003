"""What a page says of runs that are not there yet, and how it notices those that arrive.

A small fragment looks at the index's stamp. A page that loses nothing by it is drawn anew when a
run arrives (`follow`); on one where somebody reads or turns knobs, a button says how many there are
(`redraw=False`). While jobs are moving, the fragment says how far they are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from pages._ui import engine, messages, tab, wording
from pages._ui.jobs.engine import LOOKED_AHEAD, foresight, seconds_left
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe

POLL_SECONDS = 2.0
_LIVE = (JobState.QUEUED, JobState.RUNNING)


def follow(*, redraw: bool = True) -> None:
    """Notice runs that arrive from now on; call it before the page reads its runs.

    Args:
        redraw: draw the page anew when one arrives, or when the queue comes to life or to rest;
            otherwise offer to.
    """
    index = engine.index()
    with messages.guard():
        seen = _Seen(index.stamp, len(index.summaries()), bool(progress_line()))
        st.fragment(_look, run_every=POLL_SECONDS)(seen, redraw)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there was when the page was drawn."""

    stamp: int
    count: int
    moving: bool


def _look(seen: _Seen, redraw: bool) -> None:
    with messages.guard():
        tab.tell()
        index = engine.index()
        arrived = index.ready and index.stamp != seen.stamp
        told = progress_line()
        if redraw and (arrived or bool(told) != seen.moving):
            st.rerun()
        new = len(index.summaries()) - seen.count
        if not told and not (arrived and new):
            return
        with st.container(horizontal=True, vertical_alignment="center", key="live"):
            if told:
                st.caption(f":material/progress_activity: {told}")
                st.page_link("pages/jobs.py", label="Jobs", icon=":material/list_alt:")
            if arrived and new:
                label = f"{wording.count(abs(new), 'run')} {'new' if new > 0 else 'gone'}: show"
                if st.button(label, icon=":material/refresh:", key="live.show", type="tertiary"):
                    st.rerun()


def progress_line() -> str:
    """`Demo sweep: 2 of 9, next point in about 40 s`; empty when nothing is moving."""
    queue = engine.backend()
    queue.tick()
    moving = queue.sweeps(_LIVE, count=1)
    if not moving:
        return ""
    sweep, others = moving[0], queue.count_sweeps(_LIVE) - 1
    name = messages.escape(sweep.name) or ("Sweep" if sweep.size > 1 else "One run")
    parts = [f"{name}: {sweep.count(JobState.FINISHED)} of {sweep.size}"]
    first = "next" if sweep.reports else "first"
    seconds = _next_point()
    if seconds is not None:
        parts.append(f"{first} point in about {wording.duration(max(round(seconds), 1))}")
    if others:
        parts.append(f"{wording.count(others, 'more sweep')} after it")
    return ", ".join(parts)


def _next_point() -> float | None:
    """Seconds to the end of the first job that leaves a report; None where nobody knows."""
    queue = engine.backend()
    foreseen = foresight(queue)
    seconds = 0.0
    for job in foreseen.jobs:
        own = seconds_left(job, queue, foreseen, time.time())
        if own is None:
            return None
        seconds += own
        if not job.ensure:
            return seconds
    return None


def running(recipes: Sequence[Recipe], ensure: str = "") -> bool:
    """Whether any of these is queued or running."""
    wanted = {recipe.digest for recipe in recipes}
    return any(job.recipe.digest in wanted and job.ensure in ("", ensure) for job in live_jobs())


def live_jobs() -> list[Job]:
    """The jobs that run, then those that wait."""
    queue = engine.backend()
    waiting = [queue.status(job) for job in queue.queue()[:LOOKED_AHEAD]]
    return [job for job in queue.jobs(1) if job.state is JobState.RUNNING] + waiting
