"""Pareto: what is the best I can get for my size? Finished runs by size and quality."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import empty, engine, entry, live, messages
from pages._ui.runs import evaluations, filters, library, listing, organise, sweeps
from pages._ui.runs.view import draw_chart, draw_reports


def draw(runs: pd.DataFrame) -> None:
    """The figure and the table over the runs of one evaluation that pass the filters."""
    alike = evaluations.choose(runs)
    comparable = filters.narrow(alike)
    if comparable.empty:
        st.info("No run passes the search and the filters above.", icon=":material/filter_alt:")
        return
    draw_chart(comparable, evaluations.otherwise(len(runs) - len(alike)))
    listing.draw(comparable)


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
    everything = engine.runs(archived=library.archived())
    if everything.empty and not reading:
        empty.runs()
    elif not everything.empty:
        chosen = sweeps.narrow(everything)
        if chosen.empty:
            st.info("None of its runs has finished yet.", icon=":material/hourglass_empty:")
        else:
            draw(chosen)
        organise.toolbar(everything["id"].tolist())
        st.divider()
        draw_reports()
