"""The statistics over tokens in one run's Report."""

from __future__ import annotations

import streamlit as st

from pages._ui import downloads
from pages._ui.tokens import again, engine, tables
from qcore.report.report import Report
from qcore.report.tokens import block


def draw(report: Report) -> None:
    """The statistics against the float network, or the way to have them."""
    if not engine.has_statistics(report):
        return
    st.markdown("**Token by token against the float network**")
    found = engine.statistics(report)
    if found is None:
        again.offer([report], [], f"tokens.again.{report.id}")
        return
    table = tables.one(found)
    st.dataframe(table, hide_index=True, height="content")
    st.caption(
        f"Over {found.tokens:,} scored tokens. ± is one standard error that takes tokens as "
        "independent, as llama.cpp's does; for decisions use the intervals above, over windows."
    )
    downloads.table(
        st.container(horizontal=True),
        table,
        f"tokens-{report.id}",
        more={"llama.cpp block": lambda: block(found)},
    )
