"""Share: how do I show this? Boards, bundles, and the runs of others."""

from __future__ import annotations

import streamlit as st

from pages._ui import empty, engine, entry, messages
from pages._ui.share import view

entry.through_app()
st.title("How do I show this?")
st.caption(
    "Runs to take away, and runs of others to take in. What to notice: a board needs nothing but a "
    "browser; a bundle opens in another Quantscope, where its runs compare with those measured "
    "there."
)
with messages.guard():
    table = engine.runs()
    if table.empty:
        empty.runs()
    else:
        chosen = view.choose(table)
        view.draw_board(chosen, table)
        view.draw_bundle(chosen)
    view.draw_imports()
