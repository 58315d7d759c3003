"""The captures that the cache holds, found from the index of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


def captures() -> list[Capture]:
    """List what can be looked at, the newest run's first."""
    from qcore.analysis import captures

    with st.spinner("Looking for captures …"):
        return captures.captures(engine.index().summaries(), engine.cache())


def demo_recipe() -> Recipe:
    """The default recipe, under the first seed of which no run has finished."""
    return unfinished({run.recipe.digest for run in engine.index().summaries()})


def unfinished(finished: set[str]) -> Recipe:
    """The default recipe with the first seed that makes its digest none of `finished`.

    A finished run is never computed again, even when the cache has lost its capture; the seed
    makes it another run, which shares all other stages.
    """
    seed = 0
    while Recipe(seed=seed).digest in finished:
        seed += 1
    return Recipe(seed=seed)
