"""One Report on a page: its metrics, notes, layers, stages and environment."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages._ui import downloads, messages, wording
from pages._ui.export.view import verdicts
from pages._ui.runs import tables, words
from pages._ui.tokens import view
from qcore.recipe.titles import title_of
from qcore.report import metrics
from qcore.report.report import Report


def draw(report: Report) -> None:
    """Draw the whole Report under a heading."""
    st.subheader(messages.escape(title_of(report.recipe)), anchor=False)
    st.caption(
        f"Run `{report.id}` · {messages.escape(report.environment.model)} · "
        f"{wording.clock(report.created)} · {messages.escape(report.environment.device)}"
    )
    _headline(report)
    for note in report.notes:
        st.info(messages.escape(note), icon=":material/info:")
    verdicts(report.id)
    _links(report)
    measured, layers, stages, environment = st.tabs(
        ["Measured", f"Layers ({len(report.layers)})", "Stages and time", "Environment"]
    )
    with measured:
        st.dataframe(
            tables.metric_table(report),
            hide_index=True,
            height="content",
            column_config={"Definition": st.column_config.TextColumn(width="large")},
        )
        st.caption(
            "Intervals resample the windows (perplexity, KL) or the questions (tasks): they say "
            "how far another text of the same kind could move the number."
        )
        _take_away(tables.metric_table, report, "metrics")
        view.draw(report)
    with layers:
        _layers(report)
    with stages:
        st.dataframe(tables.stage_table(report), hide_index=True, height="content")
        st.caption("A stage from the cache shows the time that reading it took.")
        _take_away(tables.stage_table, report, "stages")
        if report.kernels:
            st.dataframe(tables.kernel_table(report), hide_index=True, height="content")
            st.caption(
                "Which implementation of each operation served the stages that were computed: "
                "triton on a GPU, compiled on the CPU, or the torch reference, and why."
            )
    with environment:
        st.dataframe(tables.environment_table(report), hide_index=True, height="content")
        _take_away(tables.environment_table, report, "environment")


def _headline(report: Report) -> None:
    volume = report.volume
    with st.container(horizontal=True):
        for metric in report.metrics[:4]:
            st.metric(
                messages.escape(metrics.metric_label(metric.name)),
                messages.escape(words.metric_value(metric)),
                help=messages.escape(metric.definition),
                border=True,
                delta=words.metric_interval(metric) if metric.low is not None else None,
                delta_color="off",
                delta_arrow="off",
            )
        st.metric(
            "Bits per weight",
            f"{volume.bits_per_weight:.3f}",
            help="Codes, scales and zero points of the quantized layers, per weight.",
            border=True,
            delta=wording.count(volume.quantized_parameters, "weight"),
            delta_color="off",
            delta_arrow="off",
        )
        st.metric(
            "Size",
            wording.size(volume.total_bytes),
            help=(
                f"codes {wording.size(volume.element_bytes)}, "
                f"scales {wording.size(volume.scale_bytes)}, "
                f"16-bit rest (embeddings, norms, head) {wording.size(volume.float_bytes)}"
            ),
            border=True,
            delta=f"{wording.size(volume.scale_bytes)} of scales",
            delta_color="off",
            delta_arrow="off",
        )


def _links(report: Report) -> None:
    with st.container(horizontal=True):
        page, name = "pages/new_run.py", "New run"
        if report.recipe.suffix is not None:
            page, name = "pages/suffix.py", "Suffixes"
        st.page_link(
            page,
            label="Clone",
            icon=":material/content_copy:",
            query_params={"clone": report.id},
            help=f"Open {name} with this recipe's knobs.",
        )
        if report.recipe.precision is not None:
            st.page_link(
                "pages/bits.py",
                label="Bits",
                icon=":material/equalizer:",
                query_params={"run": report.id},
                help="Which layer got which format, and why.",
            )
        if report.recipe.weights is not None and report.recipe.suffix is None:
            st.page_link(
                "pages/export.py",
                label="Export",
                icon=":material/upload:",
                query_params={"run": report.id},
                help="Files that servers load, and what their own code says of them.",
            )
        st.download_button(
            "Recipe JSON",
            json.dumps(report.recipe.to_dict(), indent=2, ensure_ascii=False) + "\n",
            file_name=f"recipe-{report.id}.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
            key=f"recipe-{report.id}",
        )
        st.download_button(
            "Report JSON",
            report.to_json,
            file_name=f"report-{report.id}.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
            key=f"report-{report.id}",
        )


def _layers(report: Report) -> None:
    table = tables.layer_table(report)
    if table.empty:
        st.info("No layer was quantized: this is a float network.", icon=":material/info:")
        return
    st.dataframe(
        table,
        hide_index=True,
        height=420,
        key=f"layers-{report.id}",
        column_config={
            "Parameters": st.column_config.NumberColumn(format="localized"),
            "Bits per weight": st.column_config.NumberColumn(format="%.3f"),
            "Weight error": st.column_config.NumberColumn(
                format="scientific", help="‖W − Ŵ‖² / ‖W‖²"
            ),
            "Output error": st.column_config.NumberColumn(
                format="scientific", help="‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖² on the calibration text"
            ),
            "Damping": st.column_config.NumberColumn(
                format="%.3f", help="Fraction of the Hessian's mean diagonal that was added."
            ),
            "Seconds": st.column_config.NumberColumn(format="%.2f s"),
        },
    )
    st.caption("What to notice: sort by output error; the layers on top are worth more bits.")
    _take_away(tables.layer_table, report, "all-layers")


def _take_away(make: Callable[[Report], pd.DataFrame], report: Report, name: str) -> None:
    place = st.container(horizontal=True)
    downloads.table(place, lambda: make(report), f"{name}-{report.id}")
