"""The Share page's sections: choose runs, take a board or a bundle away, take a bundle in."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._ui import columns, messages, state, wording
from pages._ui.share import engine
from qcore.report.imported import Origin

MOST_TOKENS = 8
LARGEST_MB = 200
_LONGEST_TITLE, _LONGEST_NOTE = 100, 4_000
_MADE, _TOLD = "share.made", "share.told"


def choose(table: pd.DataFrame) -> list[str]:
    """Draw the choice of runs: those selected on other pages, or all of them."""
    names = dict(zip(columns.words(table, "id"), columns.words(table, "title"), strict=True))
    selected = [run for run in state.selected() if run in names]
    everything = st.toggle(
        f"All {wording.count(len(names), 'run')} that are not archived",
        value=not selected,
        key="share.all",
    )
    if everything:
        return list(names)
    chosen = st.multiselect(
        "Runs",
        list(names),
        default=selected,
        key="share.runs",
        format_func=lambda run: f"{names[run]} · {run[:6]}",
        placeholder="Choose the runs to share",
    )
    state.select(chosen)
    return chosen


def draw_board(runs: Sequence[str], table: pd.DataFrame) -> None:
    """Draw what makes a board."""
    st.subheader("Board: one file that is a dashboard", anchor=False)
    st.caption(
        "Front, table, comparison, layers, outliers, tokens and recipes of these runs in one HTML "
        "file. It works from the disk and without a network, and asks nobody for anything. Of "
        "this machine's folders the last part of each name is left."
    )
    title = st.text_input("Title", max_chars=_LONGEST_TITLE, key="share.title")
    note = st.text_area(
        "What its reader is told first",
        max_chars=_LONGEST_NOTE,
        key="share.note",
        help="Plain text; an empty line begins a new paragraph.",
    )
    names = dict(zip(columns.words(table, "id"), columns.words(table, "title"), strict=True))
    tokens = st.multiselect(
        "Runs whose tokens are shown",
        list(runs),
        key="share.tokens",
        max_selections=MOST_TOKENS,
        format_func=lambda run: f"{names[run]} · {run[:6]}",
        placeholder="The first four that have any",
        help="Each takes some 100 kB.",
    )
    what = ("board", *runs, title, note, *tokens)
    if _pressed("Make the board", "share.board", len(runs)):
        with messages.guard(), st.spinner("Putting the board together …"):
            content = engine.board(runs, title=title, note=note, tokens=tokens)
            st.session_state[_MADE] = (what, content, ())
    _offer(what, "quantscope-board.html", "text/html")


def draw_bundle(runs: Sequence[str]) -> None:
    """Draw what makes a bundle."""
    st.subheader("Bundle: the runs themselves", anchor=False)
    st.caption(
        "A zip for another Quantscope, with digests: Reports, names and notes, tokens, "
        "sensitivities and the map of outliers; and two Parquet tables for pandas or R."
    )
    title = st.text_input(
        "What to call it where it is imported", max_chars=_LONGEST_TITLE, key="share.bundle.title"
    )
    what = ("bundle", *runs, title)
    if _pressed("Make the bundle", "share.bundle", len(runs)):
        with messages.guard(), st.spinner("Packing the runs …"):
            content, paths = engine.bundle(runs, title=title)
            st.session_state[_MADE] = (what, content, paths)
    _offer(what, "quantscope-runs.zip", "application/zip")


def draw_imports() -> None:
    """Draw what takes bundles in, and those that were."""
    st.subheader("Import: runs of others", anchor=False)
    st.caption(
        "A bundle is checked whole and taken in whole, or not at all. Its runs are marked with "
        "their source, compare like yours, and go together."
    )
    file = st.file_uploader("A bundle", type=["zip"], key="share.file", max_upload_size=LARGEST_MB)
    if file is not None and st.button("Import", icon=":material/upload:", key="share.import"):
        with messages.guard(), st.spinner("Checking every part of it …"):
            origin, own, differing = engine.take_in(file, file.name)
            st.session_state[_TOLD] = _said(origin, own, differing)
            st.rerun()  # the runs are on every page now, and above
    if told := st.session_state.pop(_TOLD, ""):
        st.success(told, icon=":material/check:")
    for origin in engine.imports():
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.markdown(
                f"**{messages.escape(origin.name)}** · {wording.count(len(origin.runs), 'run')} · "
                f"made {wording.clock(origin.made)}"
            )
            st.button(
                "Remove",
                icon=":material/delete:",
                key=f"share.remove.{origin.bundle}",
                on_click=_remove,
                args=(origin.bundle,),
                help="Removes these runs, their labels, and all that came with them.",
            )


def _pressed(label: str, key: str, count: int) -> bool:
    """Draw the button that makes something; without runs it cannot."""
    return st.button(
        f"{label} of {wording.count(count, 'run')}",
        key=key,
        type="primary",
        disabled=not count,
        help=None if count else "Choose a run.",
    )


def _offer(what: tuple[str, ...], name: str, kind: str) -> None:
    """Draw the button that saves what was made, as long as it is what is asked for."""
    made = st.session_state.get(_MADE)
    if not made or made[0] != what:
        return
    _, content, paths = made
    if paths:
        named = ", ".join(paths[:3]) + (" …" if len(paths) > 3 else "")
        st.warning(
            f"Its recipes name paths of this machine, which others will read: "
            f"{messages.escape(named)}",
            icon=":material/folder:",
        )
    st.download_button(
        f"Save {name} ({len(content) / 1e6:.1f} MB)",
        content,
        file_name=name,
        mime=kind,
        icon=":material/download:",
        on_click="ignore",
        key=f"share.save.{what[0]}",
    )


def _remove(bundle: str) -> None:
    with messages.guard():
        gone = engine.remove(bundle)
        st.session_state[_TOLD] = (
            f"Removed {messages.escape(gone.name)}: {wording.count(len(gone.runs), 'run')}."
        )


def _said(origin: Origin, own: int, differing: int) -> str:
    told = f"Imported {messages.escape(origin.name)}: {wording.count(len(origin.runs), 'run')}."
    if own:
        same = f", {differing} of them with other numbers" if differing else ", with equal numbers"
        told += f" {wording.count(own, 'run')} was measured here, too{same}; yours is shown."
    return told
