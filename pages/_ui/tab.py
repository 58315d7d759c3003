"""The title of the browser's tab: the page, and how many jobs run, seen from other tabs too."""

from __future__ import annotations

import streamlit as st

from pages._ui import engine
from qcore.errors import QuantscopeError
from qcore.jobs.protocol import JobState

_PAGE = "kept.page"


def name(page: str) -> None:
    """Title the tab after a page."""
    st.session_state[_PAGE] = page
    tell()


def tell() -> None:
    """Bring the number of running jobs up to date; for fragments that look at the queue anyway."""
    try:
        running = engine.backend().tally().get(JobState.RUNNING, 0)
    except QuantscopeError:  # the page itself says what is wrong with the queue
        running = 0
    told = f"({running} running) " if running else ""
    st.set_page_config(page_title=f"{told}{st.session_state.get(_PAGE, 'Home')} · Quantscope")
