"""The table of runs under a chart: sortable, selectable, downloadable; selected rows are ringed."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from pages._ui import columns, state
from pages._ui.runs import tables
from qcore.report.metrics import is_share, metric_label

_KEY = "runs.table"
_ORDER = "runs.order"


def draw_runs(table: pd.DataFrame) -> None:
    """The runs as rows; selecting rows selects runs."""
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


def choose(runs: Iterable[str]) -> None:
    """Select these runs."""
    state.select(runs)


def _rows_chosen() -> None:
    ids = st.session_state[_ORDER]
    rows = st.session_state[_KEY]["selection"]["rows"]
    state.select(ids[row] for row in rows if row < len(ids))


def _columns(table: pd.DataFrame) -> list[str]:
    """What is worth a column: quality first, then what the run was."""
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
