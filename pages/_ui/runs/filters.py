"""Which runs are shown: search, fields of the recipe, archived ones, and what was hidden by hand.

All of it but what is hidden stands in the address, so that a link opens the same runs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import streamlit as st

from pages._ui import columns, engine, messages, wording
from pages._ui.runs import fields

_HIDDEN = "kept.hidden"


def narrow(table: pd.DataFrame) -> pd.DataFrame:
    """Draw the search and the filters over runs that compare; return the runs that pass."""
    values = engine.run_table().fields(columns.words(table, "id"))
    offered = fields.choices(table, values)
    left, right = st.columns([4, 2], vertical_alignment="bottom")
    search = left.text_input(
        "Search",
        key="q",
        bind="query-params",
        type="search",
        live=True,
        max_chars=200,
        placeholder="Search titles, names, tags, notes and ids",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    chosen = [path for path in st.session_state.get("fields", []) if path in offered]
    count = f" ({len(chosen)})" if chosen else ""
    with right.popover(f"Filter{count}", icon=":material/filter_list:", width="stretch"):
        where = _choose(table, values, offered)
    shown = fields.matching(table, values, search or "", where)
    shown = _without_hidden(shown)
    if len(shown) < len(table):
        st.caption(f"{len(shown):,} of {wording.count(len(table), 'run')} shown.")
    return shown


def _choose(table: pd.DataFrame, values: fields.Values, offered: list[str]) -> dict[str, list[str]]:
    """The values that each chosen field may have."""
    if not offered:
        st.caption("All runs here have equal recipes.")
        return {}
    chosen = st.multiselect(
        "Fields",
        offered,
        key="fields",
        bind="query-params",
        format_func=fields.label,
        placeholder="Choose what to filter by",
        help="Fields of the recipe in which these runs differ.",
    )
    where = {}
    for path in chosen:
        held = {
            one
            for value in fields.column(table, values, path)
            for one in fields.several(value, path)
        }
        where[path] = st.multiselect(
            fields.label(path),
            sorted(held, key=_order),
            key=path,
            bind="query-params",
            format_func=messages.escape,
            placeholder="Any",
        )
    return where


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by size, before words."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value


def hide(runs: Iterable[str]) -> None:
    """Leave runs out of figure and table until they are shown again."""
    st.session_state[_HIDDEN] = {*st.session_state.get(_HIDDEN, ()), *runs}


def show_all() -> None:
    """Show again what was hidden."""
    st.session_state[_HIDDEN] = set()


def _without_hidden(table: pd.DataFrame) -> pd.DataFrame:
    hidden = st.session_state.get(_HIDDEN, set())
    if not hidden:
        return table
    out = np.isin(columns.words(table, "id").astype(str), list(hidden))
    if out.any():
        count = int(out.sum())
        st.button(
            f"Show {wording.count(count, 'hidden run')}",
            icon=":material/visibility:",
            type="tertiary",
            on_click=show_all,
        )
    return table.loc[~out]


def choose_colour(table: pd.DataFrame) -> str:
    """Draw the choice of the field by which points are coloured; return its path."""
    values = engine.run_table().fields(columns.words(table, "id"))
    offered = [path for path in fields.choices(table, values) if path != fields.METHOD]
    return st.selectbox(
        "Colour and group by",
        [fields.METHOD, *offered],
        key="colour",
        bind="query-params",
        format_func=fields.label,
        help="A click on an entry of the legend hides its points; a double click shows them alone.",
    )


def coloured(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """The table with a column `group`, that field of every run; unchanged for the method."""
    if path == fields.METHOD:
        return table
    values = engine.run_table().fields(columns.words(table, "id"))
    return table.assign(group=fields.column(table, values, path))
