"""The box to choose a capture in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages._ui import state
from pages._ui.captures import words

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


def choose(place: DeltaGenerator, found: list[Capture], page: str) -> Capture:
    """Choose a capture; say so when the address names one that is gone."""
    by_key = {capture.key[:12]: capture for capture in found}
    asked = st.query_params.get("capture")
    if asked and asked not in by_key:
        st.warning(
            "The capture that the address names is not in the cache any more; another is shown. "
            "Run its recipe with another seed to capture it again.",
            icon=":material/info:",
        )
    name = place.selectbox(
        "Captured on",
        list(by_key),
        key=state.settle(page, "capture", list(by_key)),
        format_func=lambda key: words.capture_label(by_key[key]),
        help="Every finished run with a calibration text leaves a capture of the float network.",
    )
    return by_key[name]
