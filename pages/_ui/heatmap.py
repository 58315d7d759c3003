"""A map of cells that can be clicked, pure: layers by projections, or sites by layers.

Each cell carries its id and its hover text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pages._ui import palette
from pages._ui.charts import log_ticks

_BAR_WIDTH = 80
"""Pixels that a colour bar and its names need right of the map."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        id: what a click gives back.
        row: from the top, 0 first.
        column: from the left, 0 first.
        value: decides the colour; NaN leaves the cell blank.
        hover: what is told when the pointer rests on it.
        text: what is written in it.
    """

    id: str
    row: int
    column: int
    value: float
    hover: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Colours:
    """How values become colours, and the bar that says so.

    Attributes:
        scale: a name known to Plotly, or pairs of a place in 0 to 1 and a colour.
        low: the value of the first colour; None takes the smallest value.
        high: the value of the last colour; None takes the largest.
        ticks: values marked on the bar.
        names: what stands at the ticks.
    """

    scale: str | Sequence[tuple[float, str]] = palette.HEAT
    low: float | None = None
    high: float | None = None
    ticks: Sequence[float] = field(default_factory=tuple)
    names: Sequence[str] = field(default_factory=tuple)


def logarithmic(values: Iterable[float]) -> Colours:
    """Colours for the decimal logarithms of values, marked with the values at round numbers."""
    positive = [value for value in values if math.isfinite(value) and value > 0]
    ticks = log_ticks(min(positive), max(positive)) if positive else []
    return Colours(
        ticks=[math.log10(tick) for tick in ticks], names=[f"{tick:g}" for tick in ticks]
    )


def log10(value: float) -> float:
    """The decimal logarithm, NaN for what has none."""
    return math.log10(value) if math.isfinite(value) and value > 0 else math.nan


def heatmap(cells: Sequence[Cell], colours: Colours, chosen: str = "") -> go.Figure:
    """The cells in their colours, a frame around the chosen one; axes are left to the caller.

    Args:
        cells: at least one, none twice.
        colours: of their values.
        chosen: the id of the cell that gets a frame.
    """
    shape = (1 + max(cell.row for cell in cells), 1 + max(cell.column for cell in cells))
    z = np.full(shape, np.nan, dtype=np.float32)
    text, hover, ids = (np.full(shape, "", dtype=object) for _ in range(3))
    for cell in cells:
        at = cell.row, cell.column
        z[at], text[at], hover[at], ids[at] = cell.value, cell.text, cell.hover, cell.id
    written = any(cell.text for cell in cells)
    figure = go.Figure(
        go.Heatmap(
            z=z,
            text=text if written else None,
            texttemplate="%{text}" if written else None,
            textfont={"size": 10},
            colorscale=colours.scale,
            zmin=colours.low,
            zmax=colours.high,
            xgap=2,
            ygap=1,
            customdata=ids,
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
            colorbar=colour_bar(colours.ticks, colours.names),
        )
    )
    for cell in cells:
        if cell.id == chosen:
            _frame(figure, cell)
    figure.update_layout(
        margin={"l": 8, "r": _BAR_WIDTH, "t": 8, "b": 8},
        dragmode=False,
        hovermode="closest",
        hoverlabel={"align": "left"},
        uirevision="keep",
    )
    figure.update_xaxes(
        range=[-0.5, shape[1] - 0.5], showgrid=False, zeroline=False, automargin=True
    )
    figure.update_yaxes(
        range=[shape[0] - 0.5, -0.5], showgrid=False, zeroline=False, automargin=True
    )
    return figure


def colour_bar(ticks: Sequence[float], names: Sequence[str], title: str = "") -> dict[str, Any]:
    """Plotly's settings of a colour bar with names at its ticks."""
    return {
        "title": {"text": title},
        "thickness": 12,
        "outlinewidth": 0,
        "tickvals": list(ticks),
        "ticktext": list(names),
    }


def _frame(figure: go.Figure, cell: Cell) -> None:
    figure.add_shape(
        type="rect",
        x0=cell.column - 0.5,
        x1=cell.column + 0.5,
        y0=cell.row - 0.5,
        y1=cell.row + 0.5,
        line={"color": palette.CHOSEN, "width": 3},
    )
