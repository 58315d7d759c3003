"""How one job looks: a row with its stages, its numbers, and what can be done with it."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

import streamlit as st

from pages._ui import palette, services, timeline, wording
from pages._ui.timeline import Step
from qcore.jobs.protocol import Backend, Job, JobState

_MARKS = {"waiting": "○", "running": "●", "done": "✓", "cached": "✓", "stopped": "✕"}


def draw(job: Job, queue: Backend, *, key: str = "") -> None:
    """One job as a row: name and state, stages, time, buttons; its log under it on demand."""
    now = time.time()
    stages = timeline.steps(job, queue.events(job.id) if job.state != "queued" else [], now)
    with st.container(border=True, key=f"job-{job.id}{key}"):
        name, progress, buttons = st.columns([4, 6, 2], vertical_alignment="center")
        with name:
            colour, icon = palette.STATE_BADGES[job.state]
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                st.badge(job.state, color=colour, icon=icon)  # type: ignore[arg-type]
                st.caption(f"`{job.id}`")
            st.markdown(f"**{services.escape(job.recipe.title)}**")
        with progress:
            st.html(strip(stages, job))
            if job.state is JobState.RUNNING:
                st.progress(timeline.fraction(job, stages))
            st.caption(facts(job, stages, now))
        with buttons:
            _buttons(job, queue)
        if job.state is JobState.FAILED and job.message:
            st.error(services.escape(job.message), icon=":material/error:")
        if job.state is not JobState.QUEUED:
            _log(job, queue)


def strip(stages: Sequence[Step], job: Job) -> str:
    """The stages as a line of chips, readable without colour: mark, name, counts."""
    chips = []
    for step in stages:
        count = f" {step.done}/{step.total}" if step.state == "running" and step.total else ""
        tail = " · cached" if step.state == "cached" else count
        strong = "font-weight:600;" if step.state == "running" else ""
        faint = "opacity:.5;" if step.state == "waiting" else ""
        colour = _CHIP_COLOURS[step.state]
        chips.append(
            f'<span role="listitem" style="border:1px solid {colour};border-radius:1rem;'
            f"padding:.1rem .6rem;margin:0 .35rem .3rem 0;display:inline-block;{strong}{faint}"
            f'font-size:.82rem;white-space:nowrap"><span style="color:{colour}" aria-hidden="true">'
            f"{_MARKS[step.state]}</span> {html.escape(step.name)}{html.escape(tail)}"
            f'<span style="position:absolute;left:-9999px"> {step.state}</span></span>'
        )
    return f'<div role="list" aria-label="Stages of {job.id}">{"".join(chips)}</div>'


_CHIP_COLOURS = {
    "waiting": "#8A93A3",
    "running": "#2B7BC4",
    "done": "#0A8F6C",
    "cached": "#0A8F6C",
    "stopped": "#D55E00",
}


def facts(job: Job, stages: Sequence[Step], now: float) -> str:
    """Device, time and counts in one line."""
    if job.state is JobState.QUEUED:
        return f"waiting for a free device · submitted {wording.ago(job.created, now)}"
    parts = [job.device or "no device"]
    spent = timeline.elapsed(job, now)
    if spent is not None:
        verb = "ran" if job.state.ended else "running for"
        parts.append(f"{verb} {wording.duration(spent)}")
    rest = timeline.left(job, stages)
    if rest is not None:
        parts.append(f"this stage: {wording.duration(rest)} left")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    if job.state.ended and job.ended:
        parts.append(wording.ago(job.ended, now))
    if job.state is JobState.RUNNING and job.message:
        parts.append(services.escape(job.message))
    return " · ".join(parts)


def _buttons(job: Job, queue: Backend) -> None:
    if not job.state.ended:
        _action("Cancel", ":material/stop_circle:", job, queue.cancel)
    elif job.state is JobState.FAILED:
        _action("Retry", ":material/replay:", job, queue.resume)
    elif job.state is JobState.CANCELLED:
        _action("Resume", ":material/play_arrow:", job, queue.resume)
    elif job.report:
        st.page_link(
            "pages/pareto.py",
            label="See result",
            icon=":material/scatter_plot:",
            query_params={"runs": job.report},
        )
        st.page_link(
            "pages/new_run.py",
            label="Clone",
            icon=":material/content_copy:",
            query_params={"clone": job.report},
        )


def _action(label: str, icon: str, job: Job, act) -> None:
    """A button that acts on the job; stages that are finished stay in the cache."""
    if st.button(label, icon=icon, key=f"{label}-{job.id}", width="stretch", help=_HELP[label]):
        with services.guard():
            act(job.id)
            services.backend().tick()
            st.rerun()


_HELP = {
    "Cancel": "Stops within seconds; finished stages stay in the cache.",
    "Retry": "Queues it again; it goes on from its last cached stage.",
    "Resume": "Queues it again; it goes on from its last cached stage.",
}


def _log(job: Job, queue: Backend) -> None:
    """The worker's log and warnings, read only while open."""
    shown = st.expander("Log", key=f"log-{job.id}", on_change="rerun", type="compact")
    if not shown.open:
        return
    with shown:
        for event in queue.events(job.id):
            if event.kind == "warning":
                st.warning(services.escape(event.message), icon=":material/warning:")
        text = queue.logs(job.id)
        st.code(text or "Nothing printed yet.", language=None, height=260)
