"""Home: what do I have, what should I look at?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import columns, empty, engine, entry, live, messages, palette, state, wording
from pages._ui.figures.view import draw_figure
from pages._ui.form.presets import DEMO
from pages._ui.jobs.words import job_titles, short_id
from pages._ui.runs import charts, evaluations, library, organise, tables, words
from qcore.machine.devices import devices
from qcore.report import metrics

_NEWEST = 6
_POLL_SECONDS = 5.0


def draw_welcome() -> None:
    """Draw the first visit: what this is, what one click does, how long it takes."""
    runs = DEMO.recipes()
    with st.container(border=True, key="welcome"):
        st.subheader("See what quantization costs, on a real model, in minutes", anchor=False)
        st.markdown(
            f"The demo sweep takes **SmolLM2-135M** through **{len(runs)} configurations** – "
            "float first, then 4, 3 and 8 bits, rounded to nearest and by GPTQ, with PiSO's scales "
            "and with groups of 64 – and draws each as a point: its size against its perplexity. "
            "You watch it happen."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            empty.demo_button("demo.home")
            st.caption(
                "Takes about two minutes on a quiet laptop CPU, the first point less than one. "
                "Nothing leaves this machine, nothing is downloaded, and you can cancel any time."
            )
    for column, (icon, title, text) in zip(st.columns(3), _VERBS, strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**:material/{icon}: {title}**")
            st.markdown(text)


_VERBS = (
    (
        "tune",
        "Explore",
        "Turn every knob – formats, groups, scales, rounding, calibration – and let several "
        "values make a sweep. Runs that share a stage share its work.",
    ),
    (
        "scatter_plot",
        "Compare",
        "Every run lands on the Pareto page with its confidence interval, so that you see which "
        "differences are real and which are noise.",
    ),
    (
        "link",
        "Share",
        "An address reopens a page as it stands; recipes, reports, tables and figures download as "
        "JSON, CSV and SVG, and run again from the command line.",
    ),
)


def draw_front(table: pd.DataFrame) -> None:
    """Draw one evaluation's front, small, and say how many runs it leaves out."""
    shown = evaluations.current(table)
    comparable = tables.comparable(table, shown.measured, [shown.model])
    score = metrics.quality(tables.telling(tables.metrics(comparable)))
    alike = comparable.loc[~tables.broken(comparable, score)]
    broke = len(comparable) - len(alike)
    st.subheader("The measured front so far", anchor=False)
    figure = charts.pareto(
        alike,
        metrics.SIZES["bits"],
        score,
        reference=tables.reference(alike, score),
        logarithmic=score.logarithmic,
        small=True,
    )
    draw_figure(
        figure,
        key="home.front",
        on_select=lambda: state.select(state.clicked(st.session_state["home.front"])),
        select="area",
        name="front",
        alt=f"{len(alike)} runs, bits per weight against {score.label}",
    )
    st.caption(
        f"{messages.escape(shown.model)}, {messages.escape(shown.measured)}. "
        f"{wording.count(len(alike), 'run')}{f', {broke} more broke' if broke else ''}; the lower "
        f"left is better. {words.bars(score)} "
        "Click points (shift adds more) to compare their runs."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link("pages/pareto.py", label="Open Pareto", icon=":material/scatter_plot:")
        here = set(columns.words(alike, "id"))
        organise.compare_button([run for run in state.selected() if run in here], "home.compare")
        evaluations.offer_others(table, len(comparable))


def draw_newest() -> None:
    """Draw the newest jobs with their state, kept fresh."""
    st.subheader("Newest runs", anchor=False)
    with messages.guard():
        queue = engine.backend()
        queue.tick()
        jobs = queue.jobs(_NEWEST)
        for job, told in zip(jobs, job_titles(jobs), strict=True):
            colour, icon = palette.STATE_BADGES[job.state]
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                st.badge(job.state, color=colour, icon=icon)
                title = f"{messages.escape(told)} `{short_id(job)}`"
                if job.report:
                    query = {"runs": job.report}
                    st.page_link("pages/pareto.py", label=title, query_params=query)
                else:
                    st.markdown(title)
        if jobs:
            st.page_link("pages/jobs.py", label="All jobs", icon=":material/list_alt:")
        else:
            st.caption("Nothing was submitted on this machine yet.")


def draw_machine(runs: int) -> None:
    """Draw devices, cache and library in numbers."""
    with st.container(horizontal=True):
        for device in devices():
            st.metric(
                f"{device.name}: {messages.escape(device.label[:40])}",
                wording.memory(device.memory_bytes),
                help=messages.escape(device.label),
                border=True,
            )
        with messages.guard():
            st.metric(
                "Cache",
                wording.size(engine.cache().size()),
                border=True,
                help="Results of stages, kept for the next run; may be deleted at any time.",
            )
        st.metric(
            "Finished runs", f"{runs:,}", border=True, help="Their reports are never evicted."
        )


entry.through_app()
st.title("What do I have, what should I look at?")
with messages.guard():
    reading = library.draw()
    live.follow()
    table = engine.runs()
    if table.empty and not reading:
        st.caption(
            "Quantscope quantizes language models after training, measures what that costs, and "
            "shows which setting is worth its bits."
        )
        draw_welcome()
        moving = engine.backend().jobs(1)
        if moving:
            st.fragment(draw_newest, run_every=_POLL_SECONDS)()
    elif not table.empty:
        st.caption("What to notice: which runs lie on the front, and what has finished since.")
        left, right = st.columns([5, 3], gap="large")
        with left:
            draw_front(table)
        with right:
            st.fragment(draw_newest, run_every=_POLL_SECONDS)()
            empty.demo_button("demo.home")
    st.subheader("This machine", anchor=False)
    draw_machine(len(table))
