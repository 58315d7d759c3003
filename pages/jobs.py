"""Jobs: is it moving? Every job with its stages, what it waits for, and what can be done about it.

The page polls: every second while something runs, slowly otherwise. Nothing lives in the session,
so another browser, or this one after a restart, sees the same.
"""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from pages._ui import empty, job_rows, services, wording
from qcore.jobs.protocol import Job, JobState

_FAST, _SLOW = 1.0, 10.0
_PER_PAGE = 25
_ORDER = list(JobState)


def sweep_line(jobs: list[Job]) -> str:
    """`12 runs: 5 finished, 1 running, 6 queued`."""
    states = [job.state for job in jobs]
    parts = [f"{states.count(state)} {state}" for state in JobState if state in states]
    return f"{wording.count(len(jobs), 'run')}: {', '.join(parts)}"


def draw_group(jobs: list[Job]) -> None:
    """A sweep under one heading, or a single job."""
    queue = services.backend()
    if len(jobs) > 1:
        ended = sum(job.state.ended for job in jobs)
        heading, buttons = st.columns([9, 3], vertical_alignment="bottom")
        heading.progress(ended / len(jobs), text=f"**Sweep** · {sweep_line(jobs)}")
        reports = [job.report for job in jobs if job.report]
        open_jobs = [job for job in jobs if not job.state.ended]
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            if reports:
                st.page_link(
                    "pages/pareto.py",
                    label="See results",
                    icon=":material/scatter_plot:",
                    query_params={"runs": ",".join(reports)},
                )
            if len(open_jobs) > 1 and st.button(
                "Cancel all", icon=":material/stop_circle:", key=f"cancel-all-{jobs[0].sweep}"
            ):
                for job in open_jobs:
                    with services.guard():
                        queue.cancel(job.id)
                st.rerun()
    for job in jobs:
        job_rows.draw(job, queue)


def board(was_active: bool) -> None:
    """All jobs, drawn anew at every tick of the clock."""
    with services.guard():
        queue = services.backend()
        queue.tick()
        jobs = queue.jobs()
        active = any(not job.state.ended for job in jobs)
        if active != was_active:
            st.rerun()  # the clock's pace is set where the fragment is made
        if not jobs:
            empty.jobs()
            return
        shown = _filtered(jobs)
        first = (
            (st.pagination(pages, key="jobs.page") - 1) * _PER_PAGE
            if (pages := -(-len(shown) // _PER_PAGE)) > 1
            else 0
        )
        rows = shown[first : first + _PER_PAGE]
        for _, group in groupby(rows, key=lambda job: job.sweep or job.id):
            draw_group(list(group))


def _filtered(jobs: list[Job]) -> list[Job]:
    states = [state for state in JobState if any(job.state is state for job in jobs)]
    chosen = st.pills(
        "Show",
        states,
        selection_mode="multi",
        format_func=lambda state: f"{state} {sum(job.state is state for job in jobs)}",
        key="jobs.states",
        label_visibility="collapsed",
    )
    return [job for job in jobs if not chosen or job.state in chosen]


st.title("Is it moving?")
st.caption(
    "What to notice: a stage marked “cached” cost nothing, another run had paid for it. Jobs go on "
    "when this page, the browser or the dashboard is closed; a stopped one resumes from its last "
    "cached stage."
)
moving = False
with services.guard():
    moving = any(not job.state.ended for job in services.backend().jobs())
st.fragment(board, run_every=_FAST if moving else _SLOW)(moving)
