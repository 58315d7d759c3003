"""The captures that the cache holds, found from the index of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


def captures(*, imported: bool = False) -> list[Capture]:
    """List what can be looked at, the newest run's first.

    Args:
        imported: those, too, of which bundles brought the measures alone.
    """
    from qcore.analysis import captures

    with st.spinner("Looking for captures …"):
        kept = engine.shelf() if imported else engine.cache()
        return captures.captures(engine.index().summaries(), kept)


def evicted() -> list[Capture]:
    """List what runs captured and the cache has lost, the newest run's first."""
    from qcore.analysis import captures

    return captures.evicted(engine.index().summaries(), engine.cache())
