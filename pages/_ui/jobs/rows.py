"""How one job looks: a row with its stages, its numbers, and what can be done with it."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from pages._ui import messages, palette, wording
from pages._ui.jobs import engine, forecast, timeline, words
from pages._ui.jobs.forecast import Foresight
from pages._ui.jobs.timeline import StageProgress
from qcore.jobs.protocol import Backend, Job, JobState

_MARKS = {"waiting": "○", "running": "●", "done": "✓", "cached": "✓", "stopped": "✕"}
_COLOURS = {
    "waiting": palette.NEUTRAL,
    "running": palette.colour("GPTQ"),
    "done": palette.colour("Qronos"),
    "cached": palette.colour("Qronos"),
    "stopped": palette.colour("RTN"),
}


def draw(job: Job, queue: Backend, foreseen: Foresight, title: str = "") -> None:
    """One job as a row: state and name, stages and time, buttons; its log under it on demand.

    Args:
        job: to be drawn.
        queue: that it stands in.
        foreseen: what is known of its time.
        title: what tells it from those around it; its own where it stands alone.
    """
    now = time.time()
    stages = engine.stages(job, queue, now)
    with st.container(border=True, key=f"job-{job.id}", gap="xsmall"):
        name, progress, buttons = st.columns([4, 6, 4], vertical_alignment="center")
        with name:
            colour, icon = palette.STATE_BADGES[job.state]
            st.badge(job.state, color=colour, icon=icon)
            told = messages.escape(title or words.job_title(job))
            st.markdown(f"**{told}** :gray[`{words.short_id(job)}`]")
        with progress:
            st.html(strip(stages, job))
            if job.state is JobState.RUNNING:
                st.progress(forecast.fraction(job, stages, foreseen.expected.get(job.id, {})))
            st.caption(facts(job, stages, now, foreseen))
        with buttons.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
            _buttons(job, queue)
        if job.state is JobState.FAILED and job.message:
            st.error(messages.escape(job.message), icon=":material/error:")
        if st.session_state.get(_log_key(job)):
            _log(job, queue)


def strip(stages: Sequence[StageProgress], job: Job) -> str:
    """The stages as a line of chips, readable without colour: mark, name, counts."""
    if job.state is JobState.FINISHED and all(step.state == "waiting" for step in stages):
        was = f"{words.stage_title(job.ensure)} was there"
        what = was if job.ensure else "exact repeat of a finished run"
        stages = [StageProgress(what, "cached")]
    chips = []
    for step in stages:
        count = f" {step.done:,}/{step.total:,}" if step.state == "running" and step.total else ""
        tail = " · cached" if step.state == "cached" else count
        weight = 600 if step.state == "running" else 400
        opacity = 0.55 if step.state == "waiting" else 1
        colour, name = _COLOURS[step.state], html.escape(words.stage_title(step.name))
        chips.append(
            f'<span role="listitem" aria-label="{name}: {step.state}{count}"'
            f' style="border:1px solid {colour};border-radius:1rem;padding:.05rem .55rem;'
            f"margin:0 .3rem .25rem 0;display:inline-block;font-weight:{weight};"
            f'opacity:{opacity};font-size:.8rem;white-space:nowrap">'
            f'<span style="color:{colour}">{_MARKS[step.state]}</span> '
            f"{name}{html.escape(tail)}</span>"
        )
    return f'<div role="list" aria-label="Stages of job {job.id}">{"".join(chips)}</div>'


def facts(job: Job, stages: Sequence[StageProgress], now: float, foreseen: Foresight) -> str:
    """Device, time and what is going on, in one line."""
    if job.state is JobState.QUEUED:
        place, takes = foreseen.place(job.id), foreseen.waiting_seconds(job.id)
        return " · ".join(
            [
                "waiting for a free device" if place is None else f"{_ordinal(place)} in the queue",
                *([f"takes about {wording.duration(max(takes, 1))}"] if takes is not None else []),
                f"submitted {wording.ago(job.created, now)}",
            ]
        )
    parts = [messages.escape(job.device) or "no device"]
    spent = timeline.elapsed(job, now)
    if spent is not None:
        parts.append(f"{'ran' if job.state.ended else 'for'} {wording.duration(spent)}")
    rest = forecast.left(job, stages, foreseen.expected.get(job.id, {}))
    in_stage = timeline.left(job, stages)
    if rest is not None:
        parts.append(f"**about {wording.duration(max(rest, 1))} left**")
    elif in_stage is not None:
        parts.append(f"**{wording.duration(in_stage)} left** in this stage")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    if job.state.ended and job.ended:
        parts.append(wording.ago(job.ended, now))
    if job.state is JobState.RUNNING and job.message:
        parts.append(messages.escape(job.message))
    return " · ".join(parts)


def _ordinal(place: int) -> str:
    """`next`, `2nd`, `3rd`, `4th`, …, `11th`, `21st`."""
    if place == 1:
        return "next"
    teens = 10 < place % 100 < 14
    return f"{place}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')}"


def _buttons(job: Job, queue: Backend) -> None:
    if not job.state.ended:
        if job.state is JobState.QUEUED:
            _action(job, "Run next", ":material/vertical_align_top:", queue.run_next)
        _action(job, "Cancel", ":material/stop_circle:", queue.cancel)
    elif job.state is JobState.FAILED:
        _action(job, "Retry", ":material/replay:", queue.resume)
    elif job.state is JobState.CANCELLED:
        _action(job, "Resume", ":material/play_arrow:", queue.resume)
    elif job.report:
        _link("pages/pareto.py", "Result", ":material/scatter_plot:", {"runs": job.report})
    elif job.ensure in words.LOOK_AT:
        page, label = words.LOOK_AT[job.ensure]
        st.page_link(page, label=label, icon=":material/visibility:")
    if job.state.ended and not job.ensure:
        page = "pages/suffix.py" if job.recipe.suffix is not None else "pages/new_run.py"
        _link(page, "Clone", ":material/content_copy:", {"clone": job.report or job.id})
    if job.state is not JobState.QUEUED:
        st.button(
            "Log",
            icon=":material/terminal:",
            key=f"toggle-{job.id}",
            type="tertiary",
            on_click=partial(_toggle, _log_key(job)),
            help="What happened, warnings, and what the worker printed.",
        )


def _action(job: Job, label: str, icon: str, act: Callable[[str], object]) -> None:
    """A button that acts on the job; stages that are finished stay in the cache."""
    if st.button(label, icon=icon, key=f"{label}-{job.id}", help=_HELP[label]):
        with messages.guard():
            act(job.id)
            st.rerun()


_HELP = {
    "Run next": "Puts it at the head of the queue; what runs goes on.",
    "Cancel": "Stops within seconds; finished stages stay in the cache.",
    "Retry": "Queues it again; it goes on from its last cached stage.",
    "Resume": "Queues it again; it goes on from its last cached stage.",
}


def _link(page: str, label: str, icon: str, query: dict[str, str]) -> None:
    st.page_link(page, label=label, icon=icon, query_params=query)


def _log_key(job: Job) -> str:
    return f"log.open.{job.id}"


def _toggle(key: str) -> None:
    st.session_state[key] = not st.session_state.get(key)


def _log(job: Job, queue: Backend) -> None:
    """Warnings, each once; what happened, cache hits too; the end of what the worker printed."""
    said, older = engine.warnings(job, queue)
    if older:
        st.caption(f"{wording.count(older, 'older warning')} not shown.")
    for message, times in said.items():
        often = f" ({times:,} times)" if times > 1 else ""
        st.warning(messages.escape(message) + often, icon=":material/warning:")
    happened = timeline.happened(queue.events(job.id))
    if happened:
        st.caption("  \n".join(messages.escape(line) for line in happened))
    st.code(queue.logs(job.id) or "Nothing printed yet.", language=None, height=240)
