"""Choices that a session keeps and an address reopens.

A widget's key vanishes when its page is left, so what must last stands under keys of its own.
Addresses: `?runs=a,b` the selected runs, `?clone=ID` a form filled from a run; a page of many
choices writes each of them under its own name (`settle`, `keep`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

_SELECTED = "kept.runs"


def selected() -> list[str]:
    """The selected runs' ids, from the address when it names any."""
    given = st.query_params.get("runs", "")
    if given:
        st.session_state[_SELECTED] = [part for part in given.split(",") if part]
    return list(st.session_state.get(_SELECTED, []))


def select(runs: Iterable[str]) -> None:
    """Select these runs, here and in the address."""
    chosen = list(dict.fromkeys(runs))
    st.session_state[_SELECTED] = chosen
    if chosen:
        st.query_params["runs"] = ",".join(chosen)
    elif "runs" in st.query_params:
        del st.query_params["runs"]


def clone_request() -> str:
    """The run that the address asks to clone; asked once, then gone from the address."""
    given = st.query_params.get("clone", "")
    if given:
        del st.query_params["clone"]
    return given


def clicked(event: Any) -> list[str]:
    """The ids behind a figure's selection: each point's customdata."""
    points: Sequence[Any] = event.get("selection", {}).get("points", []) if event else []
    return list(
        dict.fromkeys(_id(point["customdata"]) for point in points if "customdata" in point)
    )


def _id(customdata: Any) -> str:
    # Plotly hands back a scalar or a list of one, whichever the browser made of it.
    return str(customdata[0] if isinstance(customdata, list | tuple) else customdata)


def follow(figure: str) -> None:
    """Select the runs that were clicked in a figure; with shift, add them or take them away."""
    event = st.session_state[figure]
    runs = clicked(event)
    if event["selection"].get("more"):
        before = selected()
        runs = [*(run for run in before if run not in runs), *(r for r in runs if r not in before)]
    select(runs)


def settle(page: str, name: str, options: Sequence[Any], default: Any = None) -> str:
    """Give a widget a value that it can show, and return the key to make it with.

    What the widget holds counts first, then the address (`?name=…`), then what was chosen when the
    page was last open, then the default, then the first option. A value that is no option any more
    is passed over.
    """
    key = f"{page}.{name}"
    texts = {str(option): option for option in options}
    kept = st.session_state.get(f"kept.{page}", {})
    wishes = (st.session_state.get(key), st.query_params.get(name), kept.get(name), default)
    value = next((texts[str(wish)] for wish in wishes if str(wish) in texts), options[0])
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    return key


def forget(page: str, name: str) -> None:
    """Let a page's choice fall back to its default; only in a callback, before its widget."""
    st.session_state.pop(f"{page}.{name}", None)
    st.session_state.get(f"kept.{page}", {}).pop(name, None)
    if name in st.query_params:
        del st.query_params[name]


def keep(page: str, **chosen: Any) -> None:
    """Remember a page's choices across pages, and write them into the address unless empty."""
    texts = {name: str(value) for name, value in chosen.items()}
    st.session_state[f"kept.{page}"] = texts
    for name, text in texts.items():
        if text and st.query_params.get(name) != text:
            st.query_params[name] = text
        elif not text and name in st.query_params:
            del st.query_params[name]
