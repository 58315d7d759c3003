"""What a page says when there is nothing to show yet: what to do, and the button that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages._ui import live, wording
from pages._ui.form import summary
from pages._ui.form.presets import DEMO
from qcore.recipe import Recipe

_MINUTES = "Queues one run of the demo model and shows its progress: some minutes on a laptop CPU."


def jobs() -> None:
    """Say that nothing was ever submitted, and offer the demo sweep."""
    _invite(
        "No jobs yet",
        "Submit a recipe on the New run page, or start with the demo sweep.",
        "demo.jobs",
    )


def runs() -> None:
    """Say that nothing has finished, and offer the demo sweep."""
    _invite(
        "No finished runs yet",
        "Each finished run becomes a point here: its size against its quality. The demo sweep "
        f"makes {len(DEMO.recipes())}.",
        "demo.pareto",
    )


def captures() -> None:
    """Say that no capture is in the cache, and offer the run that makes one."""
    _invite(
        "No captures yet",
        "Every run with a calibration text captures what its layers see. Start with one run of "
        "the demo model.",
        "outliers.demo",
        "Capture the demo model",
        lambda: [Recipe()],
        _MINUTES,
    )


def budgets(recipe: Callable[[], Recipe]) -> None:
    """Say that no run has spent a bit budget, and offer the run that measures sensitivities."""
    _invite(
        "No bit budget was spent yet",
        "One run measures what every layer loses in MXFP4, MXFP6 and MXFP8 and spends 5 bits "
        "where they help most. After that, any budget is solved here in milliseconds.",
        "bits.measuring",
        "Measure sensitivities",
        lambda: [recipe()],
        _MINUTES,
    )


def demo_button(key: str) -> None:
    """Offer the demo sweep with one click; while it runs, the way to where it can be watched."""
    runs = wording.count(len(DEMO.recipes()), "run")
    run_button(
        "Run the demo sweep",
        DEMO.recipes,
        key,
        f"Queues {runs} on the demo model and shows their progress.",
    )


def run_button(
    label: str,
    recipes: Callable[[], Sequence[Recipe]],
    key: str,
    told: str = "",
    ensure: str = "",
) -> None:
    """A button that queues recipes, or one stage of each, and opens Jobs.

    Nothing is offered that is queued or running already: then a link leads to Jobs.

    Args:
        label: what the button says.
        recipes: makes what is queued, on the click.
        key: of the button.
        told: what a click does, shown when the pointer rests on the button.
        ensure: the one stage that is wanted; empty runs the whole recipe.
    """
    if live.running(recipes(), ensure):
        st.page_link("pages/jobs.py", label="Watch it run", icon=":material/list_alt:")
    elif st.button(label, type="primary", icon=":material/play_arrow:", key=key, help=told or None):
        summary.submit(recipes(), ensure=ensure)


def _invite(
    heading: str,
    text: str,
    key: str,
    label: str = "",
    recipes: Callable[[], Sequence[Recipe]] = DEMO.recipes,
    told: str = "",
) -> None:
    """A framed heading, a sentence and two buttons; the first is the demo sweep's without a label.

    Args:
        heading: what there is none of.
        text: what makes some, as Markdown.
        key: of the first button.
        label: of the first button.
        recipes: makes what it queues.
        told: what it does.
    """
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.subheader(heading, anchor=False, text_alignment="center")
        st.markdown(text, text_alignment="center")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if label:
                run_button(label, recipes, key, told)
            else:
                demo_button(key)
            if st.button("Choose my own", icon=":material/tune:", key=f"{key}.own"):
                st.switch_page("pages/new_run.py")
        st.space("small")
