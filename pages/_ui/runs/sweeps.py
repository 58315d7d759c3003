"""The front of one sweep alone: `?sweep=…` on the Pareto page, until all runs are asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from pages._ui import columns, engine, messages, wording
from qcore.errors import QuantscopeError

_NAME = "sweep"


def narrow(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep that the address names, with the way back to all; else all runs."""
    asked = st.query_params.get(_NAME, "")
    if not asked:
        return table
    try:
        sweep = engine.backend().sweep(asked)
    except QuantscopeError as error:
        st.warning(messages.sentence(error), icon=":material/info:")
        return table
    held = np.isin(columns.words(table, "id").astype(str), list(sweep.reports))
    with st.container(horizontal=True, vertical_alignment="center"):
        name = messages.escape(sweep.name) or "one sweep"
        brought = f"{wording.count(int(held.sum()), 'run')} of {sweep.size}"
        st.markdown(f":material/filter_alt: **{name}** alone: {brought}.")
        st.button("Show all runs", type="tertiary", on_click=_leave)
    return table.loc[held]


def _leave() -> None:
    del st.query_params[_NAME]
