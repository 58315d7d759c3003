"""What a page over captures shows while there is none."""

from __future__ import annotations

import streamlit as st

from pages._ui.captures import again, choice
from pages._ui.form import summary
from qcore.recipe import Recipe


def invite() -> None:
    """No capture is in the cache: those that were lost, or what makes a first one."""
    if lost := choice.evicted():
        for capture in lost[:_LISTED]:
            again.offer_evicted(capture)
        return
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.subheader("No captures yet", anchor=False, text_alignment="center")
        st.markdown(
            "Every run with a calibration text captures what its layers see. Start with one run "
            "of the demo model, rounded to nearest: some minutes on a laptop CPU.",
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button(
                "Capture the demo model",
                type="primary",
                icon=":material/play_arrow:",
                key="outliers.demo",
            ):
                summary.submit([Recipe()])
            if st.button("Choose my own", icon=":material/tune:", key="outliers.own"):
                st.switch_page("pages/new_run.py")
        st.space("small")


_LISTED = 5
"""Lost captures that are offered at once, the newest first."""
