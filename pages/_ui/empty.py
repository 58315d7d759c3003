"""What a page says when there is nothing to show yet: what to do, and the button that does it."""

from __future__ import annotations

import streamlit as st

from pages._ui import wording
from pages._ui.form import summary
from pages._ui.form.presets import FOUNDATIONS


def demo_button(key: str) -> None:
    """One click to the demo sweep."""
    runs = len(FOUNDATIONS.recipes())
    if st.button(
        "Run the demo sweep",
        type="primary",
        icon=":material/play_arrow:",
        key=key,
        help=f"Queues {wording.count(runs, 'run')} on the demo model and shows their progress.",
    ):
        summary.submit(FOUNDATIONS.recipes())


def _invite(heading: str, text: str, key: str) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.subheader(heading, anchor=False, text_alignment="center")
        st.markdown(text, text_alignment="center")
        with st.container(horizontal=True, horizontal_alignment="center"):
            demo_button(key)
            if st.button("Choose my own", icon=":material/tune:", key=f"{key}.own"):
                st.switch_page("pages/new_run.py")
        st.space("small")


def jobs() -> None:
    """Nothing was ever submitted."""
    _invite(
        "No jobs yet",
        "Submit a recipe on the New run page, or start with the demo sweep.",
        "demo.jobs",
    )


def runs() -> None:
    """Nothing has finished."""
    _invite(
        "No finished runs yet",
        "Each finished run becomes a point here: its size against its quality. "
        "The demo sweep makes twelve.",
        "demo.pareto",
    )
