"""The form as a session remembers it across pages."""

from __future__ import annotations

import streamlit as st

from pages._ui.form.knobs import Knobs
from pages._ui.state import _KNOBS
from qcore.recipe import Recipe


def knobs() -> Knobs:
    """The form as it was last left; at first the recipe's defaults."""
    if _KNOBS not in st.session_state:
        st.session_state[_KNOBS] = Knobs.of([Recipe()])
    return st.session_state[_KNOBS]


def keep_knobs(chosen: Knobs) -> None:
    """Remember the form across pages."""
    st.session_state[_KNOBS] = chosen
