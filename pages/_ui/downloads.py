"""Every table to take away: a file, or text to paste (Markdown, LaTeX, CSV).

The text is made when the popover is opened, not on every rerun: a table of runs may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from qcore.report import text_tables

Table = pd.DataFrame | Callable[[], pd.DataFrame]
Text = Callable[[], str]

_HEIGHT = 300
_MOST_ROWS = 500
"""Rows that are offered to paste; the file has all."""


def table(
    place: DeltaGenerator,
    table: Table,
    name: str,
    label: str = "Table as CSV",
    more: Mapping[str, Text] | None = None,
    copy: str = "Copy as",
) -> None:
    """Draw a popover with the table as text, and the button that saves it.

    Args:
        place: the container to stand in.
        table: what to copy, or what makes it.
        name: of the file, after `quantscope-`, and of the widgets.
        label: what the button that saves says.
        more: further texts by what they are called.
        copy: what the popover's button says.
    """
    with place.container(width="content"):  # a fragment takes all the width that there is
        _popover(table, name, dict(more or {}), copy)
    as_csv(place, table, name, label)


def as_csv(
    place: DeltaGenerator,
    table: Table,
    name: str,
    label: str = "Table as CSV",
) -> None:
    """Draw a button that saves a table; a function is called on the click.

    Args:
        place: the column or container to stand in.
        table: what to save, or what makes it.
        name: of the file, after `quantscope-`, and of the button.
        label: what the button says.
    """

    def text() -> bytes:
        return _made(table).to_csv(index=False).encode()

    place.download_button(
        label,
        text,
        file_name=f"quantscope-{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=name,
    )


@st.fragment
def _popover(table: Table, name: str, more: dict[str, Text], label: str) -> None:
    popover = st.popover(
        label,
        icon=":material/content_copy:",
        key=f"{name}.copy",
        on_change="rerun",
        help="Markdown, LaTeX (booktabs) or CSV, to paste.",
    )
    if not popover.open:
        return
    with popover:
        kinds = ["Markdown", "LaTeX", "CSV", *more]
        kind = st.segmented_control(
            "As",
            kinds,
            default=kinds[0],
            required=True,
            key=f"{name}.copy.as",
            label_visibility="collapsed",
        )
        made = more[kind]() if kind in more else as_text(_made(table), kind)
        st.code(made, language=None, height=_HEIGHT)
        st.caption("The button in the corner of the text copies it.")


def as_text(table: pd.DataFrame, kind: str) -> str:
    """The table as `Markdown`, `LaTeX` or `CSV`; missing values are dashes."""
    if kind == "CSV":
        return table.to_csv(index=False)
    rows = [[_cell(value) for value in row] for row in table.head(_MOST_ROWS).to_numpy(object)]
    headers = [str(name) for name in table.columns]
    return (text_tables.markdown if kind == "Markdown" else text_tables.latex)(headers, rows)


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _made(table: Table) -> pd.DataFrame:
    return table if isinstance(table, pd.DataFrame) else table()
