"""Every page runs through dashboard.py, also the first one that a fresh server is asked for.

Streamlit sees a folder called `pages` and, until `st.navigation` was called once in the life of the
server, runs the asked page by itself: without our navigation, theme of titles and page config. The
first page so run switches that off and starts over.
"""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def through_app() -> None:
    """Start over through dashboard.py where Streamlit ran this page by itself; else do nothing."""
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
