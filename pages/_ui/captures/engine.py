"""The captures that the cache holds, listed once per Report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from qcore.machine.home import home
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture, Shelf


def captures() -> list[Capture]:
    """List what can be looked at, the newest run's first."""
    with st.spinner("Looking for captures …"):
        return _shelf(home()).captures(engine.cache())


@st.cache_resource(show_spinner=False)
def _shelf(root: Path) -> Shelf:
    from qcore.analysis.captures import Shelf

    return Shelf(engine.library())


def demo_recipe() -> Recipe:
    """The default recipe, under the first seed of which no run has finished."""
    return unfinished({report.recipe.digest for report in engine.library().reports()})


def unfinished(finished: set[str]) -> Recipe:
    """The default recipe with the first seed that makes its digest none of `finished`.

    A finished run is never computed again, even when the cache has lost its capture; the seed
    makes it another run, which shares all other stages.
    """
    seed = 0
    while Recipe(seed=seed).digest in finished:
        seed += 1
    return Recipe(seed=seed)
