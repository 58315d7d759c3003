"""Figures over all comparable runs: lines over parallel axes, and what each knob explains."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import plotly.colors
import plotly.graph_objects as go

from pages._ui import messages, palette
from pages._ui.knobs.lines import ParallelAxis
from pages._ui.runs import fields
from qcore.explore.importance import Importance

_HEIGHT, _ROW, _FRAME = 420, 34, 100
_BINS = 5
_DARKEST, _BRIGHTEST = 0.0, 0.8
"""Of the colour scale: its last fifth is too pale on white."""


def parallel(
    axes: Sequence[ParallelAxis],
    runs: Sequence[str],
    titles: Sequence[str],
    brushed: Collection[str],
) -> go.Figure:
    """A line a run, coloured by the last axis; those that are not brushed are grey.

    Args:
        axes: from left to right; at least one.
        runs: ids, as the axes have their places.
        titles: of the runs.
        brushed: ids; none where nothing was brushed.
    """
    figure = go.Figure()
    places = np.stack([axis.places for axis in axes])  # (axes, runs)
    shade = np.nan_to_num(places[-1], nan=1.0)
    bins = np.minimum((shade * _BINS).astype(int), _BINS - 1)
    chosen = np.array([not brushed or run in brushed for run in runs])
    _lines(figure, places, runs, titles, ~chosen, palette.translucent(palette.NEUTRAL, 0.25))
    ends = np.linspace(_DARKEST, _BRIGHTEST, _BINS).tolist()
    scale = plotly.colors.sample_colorscale(palette.HEAT, ends)
    for each in range(_BINS):
        _lines(figure, places, runs, titles, chosen & (bins == each), str(scale[each]))
    figure.update_layout(
        height=_HEIGHT,
        showlegend=False,
        dragmode="select",
        margin={"l": 20, "r": 60, "t": 10, "b": 70},
        shapes=[
            {
                "type": "line",
                **{"x0": at, "x1": at, "y0": 0, "y1": 1},
                "line": {"color": palette.NEUTRAL, "width": 1},
            }
            for at in range(len(axes))
        ],
        annotations=[
            {
                **{"x": at, "y": place, "xanchor": "left", "xshift": 6, "showarrow": False},
                "text": messages.plotly_text(_short(text)),
                "font": {"size": 11},
            }
            for at, axis in enumerate(axes)
            for place, text in axis.ticks
        ],
    )
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[messages.plotly_text(axis.label).replace(" · ", "<br>") for axis in axes],
        range=[-0.15, len(axes) - 0.45],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(range=[-0.06, 1.06], visible=False)
    return figure


def _lines(
    figure: go.Figure,
    places: np.ndarray,
    runs: Sequence[str],
    titles: Sequence[str],
    which: np.ndarray,
    colour: str,
) -> None:
    """The lines of some runs as one trace, with a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    ids: list[str] = []
    texts: list[str] = []
    for run in np.flatnonzero(which).tolist():
        column = places[:, run]
        x += [*map(float, range(len(column))), None]
        y += [*(float(place) if np.isfinite(place) else None for place in column), None]
        ids += [runs[run]] * len(column) + [""]
        texts += [messages.plotly_text(titles[run])] * len(column) + [""]
    if x:
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"color": colour, "size": 6},
            customdata=ids,
            text=texts,
            hovertemplate="%{text}<extra></extra>",
        )


_LONGEST = 18


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def shares(found: Importance) -> go.Figure:
    """What each knob explains, and what none does."""
    knobs = found.knobs
    labels = [names(knob.paths) for knob in knobs]
    figure = go.Figure()
    figure.add_bar(
        y=labels,
        x=[100 * knob.share for knob in knobs],
        orientation="h",
        name="share",
        marker={"color": palette.RUN_COLOURS[0]},
        customdata=[f"{knob.values} values" for knob in knobs],
        hovertemplate="%{y}: %{x:.1f} %, %{customdata}<extra></extra>",
    )
    figure.add_scatter(
        y=labels,
        x=[100 * knob.alone for knob in knobs],
        mode="markers",
        name="if no other knob is known",
        marker={"symbol": "diamond-open", "size": 9, "color": palette.NEUTRAL},
        hovertemplate="%{y} alone: %{x:.1f} %<extra></extra>",
    )
    figure.update_layout(
        height=_FRAME + _ROW * len(knobs),
        margin={"l": 30, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title_text="explained variance of log KL (%)", zeroline=True)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def names(paths: Sequence[str]) -> str:
    """A group of knobs in words; plotly's marks in them are text."""
    return messages.plotly_text(" with ".join(fields.label(path) for path in paths))
