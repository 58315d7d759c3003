"""Runs whose tokens are not there: said in a sentence, with a way to have them.

A finished run is never computed again; its evaluation alone can be.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages._ui import wording
from pages._ui.form import summary
from pages._ui.tokens import engine
from qcore.report.report import Report


def offer(reports: Sequence[Report], letters: Sequence[str], key: str) -> None:
    """Say whose tokens are missing, and offer to measure them.

    Args:
        reports: the runs that lack them.
        letters: what the page calls each; empty where there is one run only.
        key: of the button.
    """
    named = wording.enumeration(letters)
    whose = f"Of {named} nothing is kept" if named else "Nothing is kept"
    st.info(
        f"{whose} token by token: measured before this was kept, or evicted from the cache. "
        "Measuring again computes the evaluation alone; the reports stay as they are.",
        icon=":material/info:",
    )
    if st.button("Measure again", icon=":material/replay:", key=key):
        for stage in ("evaluate", "reference"):
            recipes = [item.recipe for item in reports if engine.missing_stage(item) == stage]
            if recipes:
                summary.queue(recipes, ensure=stage)
        st.switch_page("pages/jobs.py")
