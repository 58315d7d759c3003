"""What the Outliers page asks of the engine.

Captures are listed once per Report; a view is computed anew on every click, in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture, Lens, Place, View


def places(capture: Capture) -> list[Place]:
    """Measure all layers and sites; on the first visit every block is read once."""
    from qcore.analysis.captures import overview

    with st.spinner("Measuring every layer and site, once per capture …"):
        return overview(capture, engine.shelf())


def view(capture: Capture, place: Place, lens: Lens) -> View:
    """Look at one site through a lens."""
    from qcore.analysis import captures
    from qcore.analysis.captures import site_statistics

    statistics = site_statistics(capture, engine.cache(), place.block, place.site)
    return captures.view(statistics, lens)
