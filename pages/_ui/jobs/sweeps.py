"""Sweeps on the Jobs page: grouped before they are cut to pages, so their numbers are whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import streamlit as st

from pages._ui import messages, palette, wording
from pages._ui.jobs import engine, rows, words
from pages._ui.jobs.forecast import Foresight
from qcore.explore.compare import MOST_RUNS
from qcore.jobs.protocol import Backend, JobState, Sweep

SWEEPS, ROWS = 12, 24
"""Sweeps, and jobs of one sweep, drawn at once."""


def draw(queue: Backend, states: Collection[JobState]) -> None:
    """A page of sweeps: what runs first, then what waits, then the newest."""
    foreseen = engine.foresight(queue)
    first = _first("jobs.page", queue.count_sweeps(states), SWEEPS)
    for sweep in queue.sweeps(states, first=first, count=SWEEPS):
        if sweep.size == 1:
            for job in queue.sweep_jobs(sweep.id, states):
                rows.draw(job, queue, foreseen)
        else:
            _draw_sweep(sweep, queue, states, foreseen)


def draw_alone(name: str, queue: Backend) -> None:
    """The sweep that an address names, and the way back to all."""
    st.page_link("pages/jobs.py", label="All jobs", icon=":material/arrow_back:")
    sweep = queue.sweep(name)
    _draw_sweep(sweep, queue, (), engine.foresight(queue), alone=True)


def _draw_sweep(
    sweep: Sweep,
    queue: Backend,
    states: Collection[JobState],
    foreseen: Foresight,
    *,
    alone: bool = False,
) -> None:
    """A sweep under its heading: what has finished is folded away."""
    heading, buttons = st.columns([8, 4], vertical_alignment="center")
    left = _seconds_left(sweep, queue, foreseen)
    told = "" if left is None else f", **about {wording.duration(max(left, 1))} left**"
    with heading:
        st.markdown(
            f"**{messages.escape(sweep.name) or 'Sweep'}** – {words.sweep_line(sweep)}{told}"
        )
        st.html(bar(sweep))
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        _buttons(sweep, queue)
    over = sweep.count(JobState.FINISHED) == sweep.size  # a failure stays in sight
    shown = st.expander(
        f"{wording.count(sweep.size, 'run')}, submitted {wording.ago(sweep.created)}",
        expanded=alone or not over,
        key=f"sweep-{sweep.id}",
        on_change="rerun",
        type="compact",
    )
    if shown.open:
        with shown:
            count = sweep.count(*states) if states else sweep.size
            first = _first(f"sweep.page.{sweep.id}", count, ROWS)
            jobs = queue.sweep_jobs(sweep.id, states, first=first, count=ROWS)
            for job, title in zip(jobs, words.job_titles(jobs), strict=True):
                rows.draw(job, queue, foreseen, title)


def bar(sweep: Sweep) -> str:
    """How far a sweep is, as a bar: what was cancelled is grey, what waits is left empty."""
    parts = "".join(
        f'<span style="flex:{sweep.count(state)};background:{colour}"></span>'
        for state, colour in _SHARES
        if sweep.count(state)
    )
    rest = f'<span style="flex:{sweep.count(JobState.QUEUED)}"></span>'
    return (
        f'<div role="img" aria-label="{words.sweep_line(sweep)}" style="display:flex;height:.5rem;'
        f'border-radius:.25rem;overflow:hidden;border:1px solid {palette.NEUTRAL}">'
        f"{parts}{rest}</div>"
    )


_SHARES = (
    (JobState.FINISHED, palette.colour("Qronos")),
    (JobState.FAILED, palette.colour("RTN")),
    (JobState.CANCELLED, palette.NEUTRAL),
    (JobState.RUNNING, palette.colour("GPTQ")),
)


def _seconds_left(sweep: Sweep, queue: Backend, foreseen: Foresight) -> float | None:
    """Seconds to the end of a sweep's jobs, one after another; None where nobody knows."""
    mine = [job for job in foreseen.jobs if job.sweep == sweep.id]
    if not mine or len(mine) < sweep.live:
        return None
    now = time.time()
    seconds = [engine.seconds_left(job, queue, foreseen, now) for job in mine]
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def _buttons(sweep: Sweep, queue: Backend) -> None:
    """What can be done about the whole sweep, whichever of its jobs are in sight."""
    if sweep.reports:
        st.page_link(
            "pages/pareto.py",
            label="Results",
            icon=":material/scatter_plot:",
            query_params={"sweep": sweep.id},
            help="The front of this sweep alone.",
        )
    st.page_link(
        "pages/jobs.py",
        label="Link",
        icon=":material/link:",
        query_params={"sweep": sweep.id},
        help="This sweep alone, under an address of its own.",
    )
    if len(sweep.reports) > 1:
        st.page_link(
            "pages/compare.py",
            label="Compare",
            icon=":material/compare_arrows:",
            query_params={"runs": ",".join(sweep.reports[:MOST_RUNS])},
        )
    if sweep.live > 1:
        _button(sweep, "Cancel all", ":material/stop_circle:", queue.cancel_sweep)
    if sweep.count(JobState.FAILED, JobState.CANCELLED) > 1:
        _button(sweep, "Resume all", ":material/play_arrow:", queue.resume_sweep)


def _button(sweep: Sweep, label: str, icon: str, act: Callable[[str], int]) -> None:
    if st.button(label, icon=icon, key=f"{label}-{sweep.id}"):
        with messages.guard():
            act(sweep.id)
            st.rerun()


def _first(key: str, count: int, at_once: int) -> int:
    """The place of the first one on the chosen page; a page is chosen where there are several."""
    pages = -(-count // at_once)
    return at_once * (st.pagination(pages, key=key) - 1) if pages > 1 else 0
