"""Draw a plotly figure that stays the same one: updated on a click, not made anew.

`st.plotly_chart` gives a figure that differs another identity: the browser throws the old one
away, draws the new one from nothing, several times, and forgets how it was zoomed. This component
keeps one plotly per key and hands it what changed (`plot.js`). Plotly itself comes with its Python
package and is served from this machine (`assets`).

A click sends the ids in the clicked point's `customdata`; `state.clicked` reads them. What is
selected is no business of the figure's: the page draws it as a ring or a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import plotly.graph_objects as go
import plotly.io
from streamlit.components import v2

_NAME = "quantscope.figure"

# A module made of text has no address of its own: it finds ours by a script of Streamlit's.
_LOADER = """
const base = document.querySelector("script[src*='static/js/']").src.split("/static/js/")[0];
const module = import(base + "/figures/plot.js?VERSION");
export default async (component) => (await module).default(component, base);
"""


def draw_figure(
    figure: go.Figure | str,
    *,
    key: str,
    name: str,
    alt: str,
    select: Literal["", "points", "area"] = "",
    on_select: Callable[[], None] | None = None,
) -> None:
    """Draw a figure with its tools: saving as SVG, PNG and CSV, zoom, selection.

    Args:
        figure: to be drawn, or what `encoded` made of it.
        key: of the figure; with the same key the figure on the screen is updated.
        name: of the files it is saved as, after `quantscope-`.
        alt: what it shows, for those who do not see it.
        select: `points` sends a clicked point, `area` also those in a box or a loop.
        on_select: called on a selection, which stands under the key in the session's state.
    """
    text = figure if isinstance(figure, str) else encoded(figure)
    data = {"figure": text, "name": name, "alt": alt, "select": select, "zoom": _zooms(text)}
    component = v2.component(_NAME, js=_loader(), isolate_styles=False)
    component(key=key, data=data, on_selection_change=on_select or _nothing)


def encoded(figure: go.Figure) -> str:
    """The figure as JSON, without the template that each figure of plotly's carries."""
    figure.layout.template = None  # pyright: ignore[reportAttributeAccessIssue]
    return str(plotly.io.to_json(figure, validate=False))


def _loader() -> str:
    from pages._ui.figures.assets import version

    return _LOADER.replace("VERSION", version())


def _zooms(text: str) -> bool:
    return '"dragmode":false' not in text


def _nothing() -> None:
    """Stand in for a callback: only with one does the component keep its selection."""
