"""The table under the Pareto figure: its columns, fields of recipes among them, are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import columns, downloads, engine, messages, state
from pages._ui.runs import fields, tables
from qcore.errors import QuantscopeError
from qcore.report.metrics import is_metric, is_share, metric_label

_KEY = "runs.table"
_ORDER = "runs.order"
_COLUMNS = "runs.columns"
_CHOICE = "columns"
"""Under this name the chosen columns are kept beside the reports."""


def draw(table: pd.DataFrame) -> None:
    """Draw the runs as rows, pinned ones first; selecting rows selects runs."""
    values = engine.run_table().fields(columns.words(table, "id"))
    offered = _offered(table, values)
    chosen = _choose(offered, _usual(table))
    shown = _with_fields(table, values, chosen).assign(title=engine.run_table().titles(table))
    shown = shown.sort_values("pinned", ascending=False, kind="stable", ignore_index=True)
    ids = shown["id"].tolist()
    st.session_state[_ORDER] = ids
    wanted = set(state.selected())
    rows = [place for place, run in enumerate(ids) if run in wanted]
    st.session_state[_KEY] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.dataframe(
        shown[[*dict.fromkeys([*chosen, "id"])]],
        key=_KEY,
        hide_index=True,
        on_select=_rows_chosen,
        selection_mode="multi-row",
        column_order=chosen,
        column_config={name: _config(name) for name in chosen},
        height=min(38 + 35 * len(shown), 420),
        placeholder="–",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        whole = _with_fields(table, values, offered).assign(title=engine.run_table().titles(table))
        downloads.table(st.container(horizontal=True, width="content"), whole, "runs")
        st.caption("The address above reopens this page with the same runs selected.")


def _rows_chosen() -> None:
    ids = st.session_state[_ORDER]
    rows = st.session_state[_KEY]["selection"]["rows"]
    state.select(ids[row] for row in rows if row < len(ids))


def _choose(offered: Sequence[str], usual: Sequence[str]) -> list[str]:
    """The columns to show: as they were last chosen, on any page and day."""
    if _COLUMNS not in st.session_state:
        st.session_state[_COLUMNS] = _remembered() or list(usual)
    kept = [name for name in st.session_state[_COLUMNS] if name in offered]
    with st.popover("Columns", icon=":material/view_column:"):
        st.session_state["runs.columns.choice"] = kept or list(usual)
        st.multiselect(
            "Columns",
            list(offered),
            key="runs.columns.choice",
            format_func=_label,
            on_change=_remember,
            args=([name for name in st.session_state[_COLUMNS] if name not in offered],),
            help="Fields of the recipe are offered where these runs differ in them.",
        )
        st.button("The usual columns", on_click=_reset, type="tertiary")
    return kept or list(usual)


def _remembered() -> list[str]:
    try:
        found = engine.labels().choice(_CHOICE)
    except QuantscopeError:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _remember(elsewhere: list[str]) -> None:
    """Keep the choice; columns that only other runs have stay chosen for them."""
    st.session_state[_COLUMNS] = [*st.session_state["runs.columns.choice"], *elsewhere]
    with messages.guard():
        engine.labels().choose(_CHOICE, st.session_state[_COLUMNS])


def _reset() -> None:
    st.session_state.pop(_COLUMNS, None)
    with messages.guard():
        engine.labels().choose(_CHOICE, [])


def _usual(table: pd.DataFrame) -> list[str]:
    """Quality first, then device, time and id."""
    metrics = tables.metrics(table)
    varying = [
        name for name in ("source", "model", "device") if len(set(columns.words(table, name))) > 1
    ]
    said = ["tags"] if any(columns.words(table, "tags")) else []
    return ["title", *said, "method", "bits", "bytes", *metrics, *varying, "seconds", "id"]


def _offered(table: pd.DataFrame, values: fields.Values) -> list[str]:
    usual = _usual(table)
    more = [name for name in _MORE if name in table.columns and name not in usual]
    return [*usual, *more, *(name for name in fields.varying(values) if name not in usual)]


_MORE = (
    "tags",
    "note",
    "recipe",
    "model",
    "device",
    "source",
    "pinned",
    "baseline",
    "archived",
    "created",
)


def _with_fields(table: pd.DataFrame, values: fields.Values, names: Sequence[str]) -> pd.DataFrame:
    added = {
        name: fields.column(table, values, name) for name in names if name not in table.columns
    }
    if "created" in names:
        added["created"] = pd.to_datetime(table["created"], unit="s").tolist()
    return table.assign(**added)


def _label(name: str) -> str:
    found = _WORDS.get(name) or fields.OWN.get(name)
    if found:
        return found
    return metric_label(name) if is_metric(name) else fields.label(name)


_WORDS = {
    "title": "Run",
    "bits": "Bits per weight",
    "bytes": "Size",
    "seconds": "Time",
    "id": "Id",
    "note": "Note",
    "recipe": "Recipe",
    "pinned": "Pinned",
    "baseline": "Baseline",
    "archived": "Archived",
    "created": "Finished",
}


def _config(name: str) -> Any:
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    label = _label(name)
    if is_metric(name):
        return number(label, format="percent" if is_share(name) else "%.4g")
    special = {
        "title": words(label, width="medium", pinned=True),
        "bits": number(label, format="%.3f", help="Scales included"),
        "bytes": number(label, format="bytes", help="The whole model, float parts included"),
        "seconds": number(label, format="%.1f s", help="All stages, cached ones as read"),
        "id": words(label, width="small"),
        "created": st.column_config.DatetimeColumn(label, format="YYYY-MM-DD HH:mm"),
    }
    return special.get(name, label)
