"""Pareto: what is the best I can get for my size? Finished runs by size and quality."""

from __future__ import annotations

import streamlit as st

from pages._ui import empty, engine, entry, live, messages
from pages._ui.runs import library
from pages._ui.runs.controls import choose_measured
from pages._ui.runs.view import draw_chart, draw_reports, draw_runs

entry.through_app()
st.title("What is the best I can get for my size?")
st.caption(
    "Every finished run is a point: how large the model became, and how much of its quality is "
    "left. What to notice: the runs on the grey steps; none that was measured is both smaller and "
    "better."
)
with messages.guard():
    reading = library.draw()
    live.follow()
    everything = engine.runs()
    if everything.empty and not reading:
        empty.runs()
    elif not everything.empty:
        comparable = choose_measured(everything)
        draw_chart(comparable)
        draw_runs(comparable)
        st.divider()
        draw_reports()
