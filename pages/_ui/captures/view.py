"""What a page over captures shows while there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from pages._ui.form import summary
from qcore.recipe import Recipe

if TYPE_CHECKING:
    pass


def invite() -> None:
    """No capture is in the cache: what makes one, and the button that does."""
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
                finished = {run.recipe.digest for run in engine.index().summaries()}
                summary.submit([demo_recipe(finished)])
            if st.button("Choose my own", icon=":material/tune:", key="outliers.own"):
                st.switch_page("pages/new_run.py")
        st.space("small")


def demo_recipe(finished: set[str]) -> Recipe:
    """The default recipe, under the first seed of which no run has finished.

    A finished run is never computed again, even when the cache has lost its capture; the seed
    makes it another run, which shares all other stages.
    """
    seed = 0
    while Recipe(seed=seed).digest in finished:
        seed += 1
    return Recipe(seed=seed)
