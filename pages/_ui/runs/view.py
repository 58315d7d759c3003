"""The Pareto page's sections: the figure, the runs under it, and the selected runs' reports."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import columns, engine, messages, state, wording
from pages._ui.charts import ERROR_BARS_UP_TO
from pages._ui.figures import view as figures
from pages._ui.runs import charts, report, tables
from pages._ui.runs.controls import choose_axes
from qcore.errors import QuantscopeError
from qcore.recipe.titles import title_of
from qcore.report import metrics
from qcore.report.metrics import is_share, metric_label

_SHOWN_AT_ONCE = 4
_KEY = "runs.table"
_ORDER = "runs.order"


def draw_chart(table: pd.DataFrame) -> None:
    """Draw the figure and its caption; a click on a point selects its run."""
    size, score, log, pieces = choose_axes(table)
    broke = tables.broken(table, score)
    hidden = 0 if pieces else int(broke.sum())
    if hidden:
        table = table.loc[~broke]
    drawn = (table["measured"].iloc[0], *sorted(set(columns.words(table, "model"))))
    version = engine.index().stamp
    rings = frozenset(state.selected())
    figure = _figure((version, drawn, pieces), table, size, score, log, rings)
    figures.draw(
        figure,
        key="front",
        name="pareto",
        select="area",
        on_select=lambda: state.follow("front"),
        alt=f"{len(table)} runs, {size.label} against {score.label}",
    )
    bars = "Bars are 95 % intervals. " if len(table) <= ERROR_BARS_UP_TO else ""
    gone = f"Not drawn: {wording.count(hidden, 'run')} that broke (see Display). " if hidden else ""
    st.caption(
        f"{gone}{messages.escape(', '.join(table['model'].unique()))} on "
        f"{messages.escape(table['measured'].iloc[0])}. {bars}Click a "
        "point (shift adds or removes one), or use Box or Lasso above it, to open reports below."
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    key: tuple,
    _table: pd.DataFrame,
    size: metrics.Axis,
    score: metrics.Axis,
    log: bool,
    rings: frozenset[str],
) -> str:
    """Make the figure as JSON, or return the one kept for the same `key`."""
    reference = tables.reference(_table, score)
    figure = charts.pareto(
        _table, size, score, reference=reference, logarithmic=log, selected=rings
    )
    return figures.encoded(figure)


def draw_reports() -> None:
    """Draw the selected runs' reports, one at a time."""
    chosen = state.selected()
    if not chosen:
        st.info("Select a point or a row to see its report.", icon=":material/ads_click:")
        return
    reports = []
    for run in chosen[:_SHOWN_AT_ONCE]:
        try:
            reports.append(engine.index().get(run))
        except QuantscopeError as error:
            st.error(messages.sentence(error), icon=":material/error:")
    if len(chosen) > _SHOWN_AT_ONCE:
        st.caption(f"{len(chosen)} runs are selected; the first {_SHOWN_AT_ONCE} are shown.")
    if not reports:
        return
    titles = {report.id: title_of(report.recipe) for report in reports}
    shown = reports[0].id
    if len(reports) > 1:
        shown = st.segmented_control(
            "Report",
            list(titles),
            default=shown,
            required=True,
            format_func=lambda run: messages.escape(titles[run]),
            label_visibility="collapsed",
        )
    report.draw(next(found for found in reports if found.id == shown))


def draw_runs(table: pd.DataFrame) -> None:
    """Draw the runs as rows; selecting rows selects runs."""
    shown = table.drop(columns=["created", "short", "measured", "notes", "stages", "cached"])
    ids = shown["id"].tolist()
    st.session_state[_ORDER] = ids
    wanted = set(state.selected())
    rows = [place for place, run in enumerate(ids) if run in wanted]
    st.session_state[_KEY] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.dataframe(
        shown,
        key=_KEY,
        hide_index=True,
        on_select=_rows_chosen,
        selection_mode="multi-row",
        column_order=_columns(shown),
        column_config=_config(shown),
        height=min(38 + 35 * len(shown), 420),
        placeholder="–",
    )
    left, right = st.columns([1, 5], vertical_alignment="center")
    left.download_button(
        "Table as CSV",
        lambda: table.to_csv(index=False).encode(),
        file_name="quantscope-runs.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    right.caption("The address above reopens this page with the same runs selected.")


def _rows_chosen() -> None:
    ids = st.session_state[_ORDER]
    rows = st.session_state[_KEY]["selection"]["rows"]
    state.select(ids[row] for row in rows if row < len(ids))


def _columns(table: pd.DataFrame) -> list[str]:
    """Order the columns: quality first, then device, time and id."""
    metrics = tables.metrics(table)
    varying = [name for name in ("model", "device") if len(set(columns.words(table, name))) > 1]
    return ["title", "method", "bits", "bytes", *metrics, *varying, "seconds", "id"]


def _config(table: pd.DataFrame) -> dict:
    number = st.column_config.NumberColumn
    return {
        "title": st.column_config.TextColumn("Run", width="medium", pinned=True),
        "method": "Method",
        "bits": number("Bits per weight", format="%.3f", help="Scales included"),
        "bytes": number("Size", format="bytes", help="The whole model, float parts included"),
        "model": "Model",
        "device": "Device",
        "seconds": number("Time", format="%.1f s", help="All stages, cached ones as read"),
        "id": st.column_config.TextColumn("Id", width="small"),
        **{
            name: number(metric_label(name), format="percent" if is_share(name) else "%.4g")
            for name in tables.metrics(table)
        },
    }
