"""What the figures of all pages share: Plotly's settings, error bars and ticks, pure.

Arrays travel as float32; many points are drawn by WebGL. A selection comes back with the id in a
point's `customdata`: its position in a trace is no identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages._ui import columns, palette
from qcore.report.metrics import Axis

WEBGL_FROM = 2000
"""More points than this are drawn by WebGL: SVG makes a page element of each."""

RIM = 5
"""Pixels that a covered point grows by, for each point above it."""

ERROR_BARS_UP_TO = 300
"""Beyond this many points, intervals hide the points; the table keeps them."""


def lay_out(figure: go.Figure, height: int, *, top: int = 40, **settings: Any) -> None:
    """Give a figure its legend above and narrow margins.

    Args:
        figure: to be laid out.
        height: in pixels.
        top: room above for the legend, in pixels.
        settings: further ones of Plotly's layout.
    """
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": top, "b": 8},
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "title": None,
        },
        hoverlabel={"align": "left"},
        **{"uirevision": "keep", **settings},
    )
    figure.update_xaxes(zeroline=False, automargin=True)
    figure.update_yaxes(zeroline=False, automargin=True)


def error_bars(group: pd.DataFrame, score: Axis, colour: str) -> dict:
    """Plotly's error bars from a score's interval; none where a row has no interval."""
    value = columns.numbers(group, score.column)
    above = columns.numbers(group, f"{score.column}/high") - value
    below = value - columns.numbers(group, f"{score.column}/low")
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(above).clip(min=0).astype(np.float32),
        "arrayminus": np.nan_to_num(below).clip(min=0).astype(np.float32),
        "color": palette.translucent(colour, 0.45),
        "thickness": 1.3,
        "width": 3,
    }


def covered(
    x: np.ndarray, y: np.ndarray, parts: Iterable[np.ndarray], *, logarithmic: bool = True
) -> np.ndarray:
    """How many points, at most three, drawn later cover each one.

    It is drawn that much larger (`RIM`), so that it shows as a rim around those above it.

    Args:
        x: of all points.
        y: of all points.
        parts: which points are drawn together, in the order of drawing.
        logarithmic: whether x is drawn so.
    """
    order = np.concatenate([*parts, np.empty(0, dtype=np.intp)]).astype(np.intp)
    under = np.zeros(len(x))
    across = np.log(x) if logarithmic else x
    spans = [max(float(np.ptp(values)), 1e-12) if len(x) else 1.0 for values in (across, y)]
    for at, point in enumerate(order):
        later = order[at + 1 :]
        close = (np.abs(across[later] - across[point]) < _NEAR * spans[0]) & (
            np.abs(y[later] - y[point]) < _NEAR * spans[1]
        )
        under[point] = min(int(close.sum()), 3)
    return under


_NEAR = 0.012
"""Points nearer than this share of the axes cover each other."""


def mark(name: str, **marker: Any) -> go.Scatter:
    """An entry of the legend for a mark that no trace of its own draws."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=name,
        marker={"color": palette.NEUTRAL, "size": 12, **marker},
        hoverinfo="skip",
    )


def explain(figure: go.Figure, intervals: str, *, rims: bool) -> None:
    """Put what bars and rims mean into the legend.

    Args:
        figure: to be explained.
        intervals: what the bars are; empty where none are drawn.
        rims: whether points are drawn larger because others cover them.
    """
    if intervals:
        figure.add_trace(mark(intervals, symbol="line-ns-open", line={"width": 1.5}))
    if rims:
        figure.add_trace(mark("rim: another point below", symbol="circle-open"))


def ring(x: np.ndarray, y: np.ndarray, name: str) -> go.Scatter:
    """Rings around the points that are selected."""
    return go.Scatter(
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        mode="markers",
        name=name,
        marker={
            "symbol": "circle-open",
            "size": 22,
            "color": palette.CHOSEN,
            "line": {"width": 3},
        },
        hoverinfo="skip",
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis from `low` to `high`: some three to nine of them."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), range(10, 100, 2)):
        scale = 0.1 if steps and max(steps) > 10 else 1.0
        every = [step * scale * 10.0**decade for decade in decades for step in steps]
        ticks = [float(f"{tick:.3g}") for tick in every if low * 0.8 <= tick <= high * 1.25]
        if len(ticks) >= 4:
            break
    return ticks[:: math.ceil(len(ticks) / 9)]
