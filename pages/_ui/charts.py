"""Tables to plotly figures, pure. Arrays travel as float32; many points are drawn by WebGL.

Selections come back with the run's id in `customdata`: positions in grouped traces are no identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages._ui import columns, palette, wording
from qcore.report import metrics
from qcore.report.metrics import Axis

WEBGL_FROM = 2000
"""More points than this are drawn by WebGL: SVG makes a page element of each."""

ERROR_BARS_UP_TO = 300
"""Beyond this many points, intervals hide the points; the table keeps them."""

FULL_HOVER_UP_TO = 500
"""Beyond this many points a hover shows the run's title and place; the table has the rest."""

LABELS_UP_TO = 10
_HEIGHT, _SMALL_HEIGHT = 520, 300

CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["autoScale2d", "zoomIn2d", "zoomOut2d"],
}


def config(name: str, image: str = "svg") -> dict:
    """Plotly's settings: no logo, and a camera that saves `name` as svg or png."""
    options = {
        "format": image,
        "filename": f"quantscope-{name}",
        "scale": 2 if image != "svg" else 1,
    }
    return {**CONFIG, "toImageButtonOptions": options}


def _groups(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """(method, model) → where its runs stand in the table, sorted."""
    found: dict[Any, np.ndarray] = table.groupby(["method", "model"], sort=True).indices
    return found


def _drawable(table: pd.DataFrame, score: Axis, *, logarithmic: bool) -> pd.DataFrame:
    """The runs that have the score, and can stand on the axis."""
    y = columns.numbers(table, score.column)
    usable = np.isfinite(y) & (y > 0) if logarithmic else np.isfinite(y)
    return table if usable.all() else table.loc[usable]


_TEMPLATE = "%{text}<extra></extra>"
_PLAIN_TEMPLATE = "<b>%{text}</b><br>%{x:.4g} · %{y:.4g}<extra></extra>"


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


def _label_places(x: np.ndarray, labels: Sequence[str], score: Axis) -> list[str]:
    """On the empty side of the front: left of its points, unless the axis is too near."""
    vertical = "top" if score.higher_is_better else "bottom"
    across = np.log(x) - np.log(x[0])
    reach = max(across[-1], 1e-9)
    widths = (_LETTER_WIDTH * max(map(len, label.split("<br>"))) * reach for label in labels)
    return [
        f"{vertical} {'left' if at >= width or at == reach else 'right'}"
        for at, width in zip(across, widths, strict=True)
    ]


_LABEL_LETTERS = 20
"""Longer labels are broken into lines."""

_LETTER_WIDTH, _LINE_HEIGHT = 0.009, 0.055
"""Shares of the drawn range that a letter and a line of a label cover."""


_BITS = (1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16)


def _set_ticks(
    figure: go.Figure, size: Axis, x: np.ndarray, y: Sequence[float], *, logarithmic: bool
) -> None:
    """Round numbers on the logarithmic axes, which plotly would label with stray digits."""
    low, high = float(x.min()), float(x.max())
    if size.column == "bits":
        ticks = [step for step in _BITS if low * 0.8 <= step <= high * 1.25]
        names = [f"{tick:g}" for tick in ticks]
    else:
        ticks = log_ticks(low, high)
        names = [wording.size(tick) for tick in ticks]
    figure.update_xaxes(tickvals=ticks, ticktext=names)
    if high < low * 1.1:  # left alone, plotly would give one size several decades
        figure.update_xaxes(range=[math.log10(low * 0.8), math.log10(high * 1.25)])
    if logarithmic:
        ticks = log_ticks(min(y), max(y))
        figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


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


def _draw_rings(figure: go.Figure, x: np.ndarray, y: np.ndarray) -> None:
    figure.add_trace(
        go.Scatter(
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            mode="markers",
            name="selected",
            marker={"symbol": "circle-open", "size": 22, "color": "#E0A100", "line": {"width": 3}},
            hoverinfo="skip",
        )
    )


def _lay_out(figure: go.Figure, size: Axis, score: Axis, *, logarithmic: bool, small: bool) -> None:
    figure.update_layout(
        height=_SMALL_HEIGHT if small else _HEIGHT,
        margin={"l": 8, "r": 8, "t": 8 if small else 40, "b": 8},
        showlegend=not small,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        # Left open where points are selected: in a box or lasso mode Streamlit takes no clicks.
        dragmode=False if small else None,
        hoverlabel={"align": "left"},
        uirevision="keep",
    )
    figure.update_xaxes(title=size.label, type="log", zeroline=False, automargin=True)
    better = "higher is better" if score.higher_is_better else "lower is better"
    scale = ", log scale" if logarithmic else ""
    figure.update_yaxes(
        title=f"{score.label} – {better}{scale}",
        type="log" if logarithmic else "linear",
        zeroline=False,
        automargin=True,
        tickformat=".0%" if metrics.is_share(score.column) else None,
    )
