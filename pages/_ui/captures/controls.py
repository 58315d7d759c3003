"""The box to choose a capture in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages._ui import state
from pages._ui.captures import again, engine, words

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


_GONE = "captures.gone"
"""Where the start of a key is kept that an address named, and the cache no longer has."""


def _say_gone(key: str) -> None:
    lost = next((item for item in engine.evicted() if item.key.startswith(key)), None)
    if lost is not None:
        again.offer_evicted(lost)
    else:
        st.warning(
            "The capture that the address names is not in the cache any more, and no finished run "
            "names it; another is shown.",
            icon=":material/info:",
        )


def choose(place: DeltaGenerator, found: list[Capture], page: str) -> Capture:
    """Choose a capture; say so when the address names one that is gone."""
    by_key = {capture.key[:12]: capture for capture in found}
    asked = st.query_params.get("capture")
    if asked and asked not in by_key:  # the address soon names the one that is shown instead
        st.session_state[_GONE] = asked
    if (gone := st.session_state.get(_GONE)) and gone not in by_key:
        _say_gone(gone)
    name = place.selectbox(
        "Captured on",
        list(by_key),
        key=state.settle(page, "capture", list(by_key)),
        format_func=lambda key: words.capture_label(by_key[key]),
        on_change=lambda: st.session_state.pop(_GONE, None),
        help="Every finished run with a calibration text leaves a capture of the float network.",
    )
    again.offer_missing(by_key[name])
    return by_key[name]
