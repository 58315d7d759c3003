"""The Compare page's sections: verdicts, forest, knobs, layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from pages._ui import downloads, messages, wording
from pages._ui.compare import charts, tables, words
from pages._ui.figures.view import draw_figure
from pages._ui.form import summary
from qcore.explore.compare import LayerComparison, Refusal, RunComparison, lacking_tasks
from qcore.report.report import Report


def refusals(reports: Sequence[Report], refused: Sequence[Refusal]) -> None:
    """Say of each run that cannot be compared why not, and offer to measure what is missing."""
    titles = dict(zip((report.id for report in reports), words.titles(reports), strict=True))
    for refusal in refused:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(
                f"{messages.escape(titles[refusal.run])} (`{refusal.run[:6]}`) cannot be compared "
                f"with the baseline: {messages.escape(refusal.reason)}.",
                icon=":material/info:",
            )
            if refusal.missing and st.button(
                "Measure it like the baseline",
                icon=":material/play_arrow:",
                key=f"compare.missing.{refusal.run}",
                help="Queues the run with the baseline's text, windows and tasks; what it shares "
                "with the finished one comes from the cache.",
            ):
                summary.submit(refusal.missing)


def _offer_tasks(reports: Sequence[Report]) -> None:
    """Offer the baseline's tasks to runs that did not answer them."""
    base, *others = reports
    for place, report in enumerate(others, start=1):
        tasks = lacking_tasks(base, report)
        if not tasks:
            continue
        named = wording.enumeration([messages.escape(task.replace("_", " ")) for task in tasks])
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{words.LETTERS[place]} did not answer {named}, which A did.")
            if st.button(
                "Measure the tasks too",
                icon=":material/play_arrow:",
                key=f"compare.tasks.{report.id}",
                type="tertiary",
            ):
                summary.submit([replace(report.recipe, evaluation=base.recipe.evaluation)])


def verdicts(reports: Sequence[Report], found: Sequence[RunComparison]) -> None:
    """Each run under its letter: what it is, and the sentence on it."""
    sentences = ["Baseline.", *(run.verdict for run in found)]
    told = zip(reports, words.titles(reports), sentences, strict=True)
    for place, (report, title, sentence) in enumerate(told):
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"### {words.LETTERS[place]}", width="content")
            with st.container():
                st.markdown(f"**{messages.escape(title)}**")
                st.caption(
                    f"`{report.id}` · {report.volume.bits_per_weight:.3f} bits per weight · "
                    f"{messages.escape(report.environment.model)}"
                )
            st.markdown(messages.escape(sentence), width="content")
    st.caption(messages.escape(words.windows_sentence(reports)) + ".")


def forest(reports: Sequence[Report], found: Sequence[RunComparison]) -> None:
    """The differences of one metric, or of all tasks, as a figure; of all metrics as a table."""
    metrics = tables.metrics_of(found)
    if not metrics:
        return
    metric = st.segmented_control(
        "Metric",
        metrics,
        default=metrics[0],
        required=True,
        format_func=lambda name: messages.escape(words.metric_name(name)),
        key="metric",
        bind="query-params",
    )
    rows = tables.forest(found, metric)
    draw_figure(
        charts.forest(rows, words.metric_name(metric)),
        key="compare.forest",
        name=f"forest-{metric.replace('/', '-')}",
        alt=f"Differences of {words.metric_name(metric)} from the baseline",
    )
    paired = metric != tables.TASKS and not metric.startswith("accuracy/")
    st.caption(
        "Bars are 95 % intervals of the difference, "
        + (
            "resampled window by window: what both runs find hard cancels. "
            if paired
            else "of two shares that are not paired. "
        )
        + "A bar that crosses zero leaves the question open."
    )
    table = tables.differences(found)
    st.dataframe(table, hide_index=True, height="content")
    downloads.table(st.container(horizontal=True), table, "compare")
    _offer_tasks(reports)


def knobs(reports: Sequence[Report]) -> None:
    """Only what differs between the recipes."""
    st.subheader("What differs", anchor=False)
    table = tables.knobs(reports)
    if table.empty:
        st.info("The recipes ask the same; only model or text contents differ.")
        return
    st.dataframe(table, hide_index=True, height="content")
    downloads.table(st.container(horizontal=True), table, "compare-knobs")


def layers(rows: Sequence[LayerComparison]) -> None:
    """Each layer's error in every run, formats beside."""
    if not rows:
        return
    st.subheader("Layers side by side", anchor=False)
    draw_figure(
        charts.layers(rows),
        key="compare.layers",
        name="compare-layers",
        alt="Errors of every layer by run",
    )
    count = len(rows[0].formats)
    said = [words.layers_sentence(rows, place) for place in range(1, count)]
    st.caption(messages.escape(" ".join(filter(None, said))))
    table = tables.layers(rows)
    number = st.column_config.NumberColumn(format="scientific")
    with st.expander("All layers as a table"):
        st.dataframe(
            table,
            hide_index=True,
            height=420,
            column_config={name: number for name in table.columns if name.endswith(" error")},
        )
        downloads.table(st.container(horizontal=True), table, "compare-layers")
