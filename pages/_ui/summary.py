"""The card beside the form: what the sweep would do and cost, and the button that submits it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._ui import services, wording
from qcore.errors import QuantscopeError
from qcore.recipe import Recipe


def draw(recipes: Sequence[Recipe], refusal: str) -> None:
    """Counts, time, and the button; or the sentence that says why there is none to press."""
    st.metric("Runs", len(recipes) if not refusal else "–")
    if not refusal:
        refusal = _price(recipes)
    label = f"Run {wording.count(len(recipes), 'recipe')}" if recipes else "Run"
    pressed = st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(refusal),
        width="stretch",
        key="submit",
    )
    if refusal:
        st.error(refusal, icon=":material/block:")
    if pressed:
        submit(recipes)
    if len(recipes) > 1:
        with st.expander(f"The {len(recipes)} runs"):
            st.dataframe(
                pd.DataFrame({"Run": [recipe.title for recipe in recipes]}),
                hide_index=True,
                height=min(38 + 35 * len(recipes), 420),
            )


def submit(recipes: Sequence[Recipe]) -> None:
    """Queue the recipes and go to where they can be watched."""
    with services.guard():
        queue = services.backend()
        queue.submit(recipes)
        queue.tick()
        st.switch_page("pages/jobs.py")


def keep_in_view(key: str) -> None:
    """Let the card stay in view while the form beside it scrolls."""
    st.html(
        f"<style>@media (min-width: 760px) {{ .st-key-{key} {{ position: sticky; top: 4.5rem; }}"
        f" [data-testid=stColumn]:has(.st-key-{key}) > div {{ height: 100%; }} }}</style>"
    )


def _price(recipes: Sequence[Recipe]) -> str:
    """Draw what is finished, cached and still to be paid; return why it cannot be run, or ''."""
    try:
        with st.spinner("Looking into the cache …"):
            cost = services.preview(recipes)
    except QuantscopeError as error:
        return services.sentence(error)
    left, right = st.columns(2)
    left.metric(
        "Finished already",
        cost.finished,
        help="Exact repeats: their report is returned, nothing is computed.",
    )
    right.metric(
        "Stages cached",
        f"{cost.cached} of {cost.stages}",
        help="Runs share stages: each distinct one is computed once and kept.",
    )
    st.markdown(f"Time on this machine: **{estimate(cost.seconds)}**")
    return ""


def estimate(seconds: float | None) -> str:
    """`about 6 min`, or that nothing is known yet."""
    if seconds is None:
        return "not known before the first run"
    return "a few seconds" if seconds < 5 else f"about {wording.duration(seconds)}"
