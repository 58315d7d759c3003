"""The Compare page's sections: verdicts, forest, knobs, layers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages._ui import downloads, messages
from pages._ui.compare import charts, tables, words
from pages._ui.figures.view import draw_figure
from qcore.explore.compare import LayerComparison, RunComparison
from qcore.recipe.titles import title_of
from qcore.report.report import Report


def verdicts(reports: Sequence[Report], found: Sequence[RunComparison]) -> None:
    """Each run under its letter: what it is, and the sentence on it."""
    sentences = ["Baseline.", *(run.verdict for run in found)]
    for place, (report, sentence) in enumerate(zip(reports, sentences, strict=True)):
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"### {words.LETTERS[place]}", width="content")
            with st.container():
                st.markdown(f"**{messages.escape(title_of(report.recipe))}**")
                st.caption(
                    f"`{report.id}` · {report.volume.bits_per_weight:.3f} bits per weight · "
                    f"{messages.escape(report.environment.model)}"
                )
            st.markdown(messages.escape(sentence), width="content")
    st.caption(messages.escape(words.windows_sentence(reports)) + ".")


def forest(found: Sequence[RunComparison]) -> None:
    """The differences of one metric as a figure, of all metrics as a table."""
    metrics = tables.metrics_of(found)
    if not metrics:
        return
    metric = st.segmented_control(
        "Metric",
        metrics,
        default=metrics[0],
        required=True,
        format_func=words.metric_name,
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
    paired = not metric.startswith("accuracy/")
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
    downloads.as_csv(st.container(), table, "compare")


def knobs(reports: Sequence[Report]) -> None:
    """Only what differs between the recipes."""
    st.subheader("What differs", anchor=False)
    table = tables.knobs(reports)
    if table.empty:
        st.info("The recipes ask the same; only model or text contents differ.")
        return
    st.dataframe(table, hide_index=True, height="content")


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
        downloads.as_csv(st.container(), table, "compare-layers")
