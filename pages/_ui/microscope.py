"""What the Outliers page asks of the engine, and the pieces that it is laid out with.

Captures are listed once per Report; a view is computed anew on every click, in milliseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages._ui import charts, services, summary
from pages._ui import outlier_frames as words
from qcore.home import home
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from qcore.pipeline.captured import Capture, Lens, Place, Shelf, Stage, View


def captures() -> list[Capture]:
    """What can be looked at, the newest run's first."""
    with st.spinner("Looking for captures …"):
        return _shelf(home()).captures(services.cache())


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


def stages(view: View, permutation: str) -> list[tuple[str, Stage]]:
    """What is pictured side by side: before, permuted, rotated."""
    shown = [("Before", view.before)]
    if view.permuted is not None:
        shown.append((f"Permuted ({permutation})", view.permuted.ordered))
        shown.append(("Permuted and rotated", view.permuted.rotated))
    elif view.kept is not None:
        shown.append(("Rotated", view.kept.rotated))
    return shown


def figure(heading: str, chart: go.Figure, caption: str) -> None:
    """A figure under the question it answers, and what to notice in it."""
    st.subheader(heading, anchor=False)
    name = "outliers-" + "-".join(heading.lower().rstrip("?").split()[-2:])
    st.plotly_chart(chart, key=name, config=charts.config(name), alt=heading)
    st.caption(caption)


def blocks(view: View) -> None:
    """The rotation's blocks, those that it made worse first."""
    st.markdown(words.verdict(view))
    table = words.block_table(view)
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 320),
        key="outliers.blocks",
        column_config={
            "order": "Order",
            "block": number("Block"),
            "mass": number("ℓ1 mass", format="%.4g", help="E‖x₍ⱼ₎‖₁, all calibration tokens"),
            "mass_over_mean": number("Over the mean", format="%.2f"),
            "peak_before": number("Peak before", format="%.4g", help="Mean over sampled tokens"),
            "peak_after": number("Peak after", format="%.4g", help="Mean over sampled tokens"),
            "worse": number("Worse in", format="percent", help="Share of the sampled tokens"),
            "flagged": st.column_config.CheckboxColumn("Made worse"),
        },
    )
    download(st, table, "outlier-blocks", "Table as CSV")


def download(place, table: pd.DataFrame, name: str, label: str) -> None:
    """A button that saves the table."""
    place.download_button(
        label,
        lambda: table.to_csv(index=False).encode(),
        file_name=f"quantscope-{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=name,
    )


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
