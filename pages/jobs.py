"""Jobs: is it moving? Every job with its stages, what it waits for, and what can be done about it.

The page polls: every second while something runs, slowly otherwise. Nothing lives in the session,
so another browser, or this one after a restart, sees the same.
"""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from pages._ui import empty, engine, entry, messages, wording
from pages._ui.jobs import rows
from qcore.jobs.protocol import Backend, Job, JobState

_FAST, _SLOW = 1.0, 10.0
_PER_PAGE = 24


def board(was_active: bool) -> None:
    """All jobs, drawn anew at every tick of the clock."""
    with messages.guard():
        queue = engine.backend()
        queue.tick()
        jobs = queue.jobs()
        if any(not job.state.ended for job in jobs) != was_active:
            st.rerun()  # the clock's pace is set where the fragment is made
        if not jobs:
            empty.jobs()
            return
        for _, group in groupby(_page(_filtered(jobs)), key=lambda job: job.sweep or job.id):
            draw_group(list(group)[::-1], queue)


def draw_group(jobs: list[Job], queue: Backend) -> None:
    """A single job, or a sweep under its heading: what has finished is folded away."""
    if len(jobs) == 1:
        rows.draw(jobs[0], queue)
        return
    ended = [job for job in jobs if job.state.ended]
    heading, buttons = st.columns([8, 4], vertical_alignment="center")
    heading.progress(len(ended) / len(jobs), text=f"**Sweep** – {sweep_line(jobs)}")
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        _sweep_buttons(jobs, queue)
    over = all(job.state is JobState.FINISHED for job in jobs)  # a failure stays in sight
    shown = st.expander(
        f"{wording.count(len(jobs), 'run')}, submitted {wording.ago(jobs[0].created)}",
        expanded=not over,
        key=f"sweep-{jobs[0].sweep}",
        on_change="rerun",
        type="compact",
    )
    if shown.open:
        with shown:
            for job in jobs:
                rows.draw(job, queue)


def sweep_line(jobs: list[Job]) -> str:
    """`12 runs: 5 finished, 1 running, 6 queued`."""
    states = [job.state for job in jobs]
    parts = [f"{states.count(state)} {state}" for state in _BY_NEWS if state in states]
    return f"{wording.count(len(jobs), 'run')}: {', '.join(parts)}"


_BY_NEWS = (
    *(JobState.FAILED, JobState.CANCELLED, JobState.FINISHED, JobState.RUNNING, JobState.QUEUED),
)


def _sweep_buttons(jobs: list[Job], queue: Backend) -> None:
    if reports := [job.report for job in jobs if job.report]:
        st.page_link(
            "pages/pareto.py",
            label="Results",
            icon=":material/scatter_plot:",
            query_params={"runs": ",".join(reports)},
        )
    waiting = [job for job in jobs if not job.state.ended]
    stopped = [job for job in jobs if job.state in (JobState.FAILED, JobState.CANCELLED)]
    for label, icon, part, act in (
        ("Cancel all", ":material/stop_circle:", waiting, queue.cancel),
        ("Resume all", ":material/play_arrow:", stopped, queue.resume),
    ):
        if len(part) > 1 and st.button(label, icon=icon, key=f"{label}-{jobs[0].sweep}"):
            for job in part[::-1] if act == queue.cancel else part:
                with messages.guard():
                    act(job.id)
            st.rerun()


def _filtered(jobs: list[Job]) -> list[Job]:
    states = [state for state in JobState if any(job.state is state for job in jobs)]
    chosen = st.pills(
        "Show only",
        states,
        selection_mode="multi",
        format_func=lambda state: f"{state} {sum(job.state is state for job in jobs)}",
        key="jobs.states",
        label_visibility="collapsed",
    )
    return [job for job in jobs if not chosen or job.state in chosen]


def _page(jobs: list[Job]) -> list[Job]:
    pages = -(-len(jobs) // _PER_PAGE)
    first = _PER_PAGE * (st.pagination(pages, key="jobs.page") - 1) if pages > 1 else 0
    return jobs[first : first + _PER_PAGE]


entry.through_app()
st.title("Is it moving?")
st.caption(
    "What to notice: a stage marked “cached” cost nothing, another run had paid for it. Jobs go on "
    "when this page, the browser or the dashboard is closed; a stopped one resumes from its last "
    "cached stage."
)
moving = False
with messages.guard():
    moving = any(not job.state.ended for job in engine.backend().jobs())
st.fragment(board, run_every=_FAST if moving else _SLOW)(moving)
