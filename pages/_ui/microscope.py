"""What the pages over captures ask of the engine, and say while there is nothing to show.

Captures are listed once per Report; a view is computed anew on every click, in milliseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages._ui import outlier_frames, services, state, summary
from qcore.home import home
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from qcore.pipeline.captured import Capture, Lens, Place, Shelf, View


def captures() -> list[Capture]:
    """What can be looked at, the newest run's first."""
    with st.spinner("Looking for captures …"):
        return _shelf(home()).captures(services.cache())


def choose(place: DeltaGenerator, found: list[Capture], page: str) -> Capture:
    """The box to choose a capture in; says so when the address names one that is gone."""
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
        format_func=lambda key: outlier_frames.capture_label(by_key[key]),
        help="Every finished run with a calibration text leaves a capture of the float network.",
    )
    return by_key[name]


def places(capture: Capture) -> list[Place]:
    """The measures of all its layers and sites; on the first visit every block is read once."""
    from qcore.pipeline import captured

    with st.spinner("Measuring every layer and site, once per capture …"):
        return captured.overview(capture, services.cache())


def view(capture: Capture, place: Place, lens: Lens) -> View:
    """One site through a lens."""
    from qcore.pipeline import captured

    statistics = captured.site_statistics(capture, services.cache(), place.block, place.site)
    return captured.view(statistics, lens)


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
                finished = {report.recipe.digest for report in services.library().reports()}
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


@st.cache_resource(show_spinner=False)
def _shelf(root: Path) -> Shelf:
    from qcore.pipeline.captured import Shelf

    return Shelf(services.library())
