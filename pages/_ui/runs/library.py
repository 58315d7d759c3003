"""What a page says about the folder of reports: how far it is read, and what is left out of it."""

from __future__ import annotations

import streamlit as st

from pages._ui import engine, messages, wording

_POLL_SECONDS = 1.0
_LISTED = 50


def draw() -> bool:
    """Tell how far reading is and which files are left out, each in a line; whether it goes on."""
    index = engine.index()
    reading = not index.ready
    if reading:
        st.fragment(_draw_progress, run_every=_POLL_SECONDS)()
    if trouble := engine.run_table().trouble:
        st.warning(messages.escape(trouble), icon=":material/label_off:")
    problems = index.problems
    if problems:
        files = wording.count(len(problems), "file")
        with st.expander(f"{files} in reports/ left out", icon=":material/warning:"):
            for problem in problems[:_LISTED]:
                fact, _, remedy = problem.sentence.rpartition("; ")
                told = f"{fact[:1].upper()}{fact[1:]}. {remedy[:1].upper()}{remedy[1:]}."
                st.markdown(messages.escape(told))
            if len(problems) > _LISTED:
                st.caption(f"And {len(problems) - _LISTED:,} more.")
    return reading


def archived() -> bool:
    """Offer archived runs where there are any; whether they are asked for."""
    count = len(engine.runs(archived=True)) - len(engine.runs())
    if not count:
        return False
    return st.toggle(
        f"Show {wording.count(count, 'archived run')}", key="archived", bind="query-params"
    )


def _draw_progress() -> None:
    """A bar while reports are read for the first time; the page anew when they are."""
    index = engine.index()
    if index.ready:
        st.rerun()
    done, of = index.progress
    st.progress(done / of if of else 0.0, text=f"Reading reports: {done:,} of {of:,}")
