"""Figures of a site before and after a transform, pure. Everything arrives binned.

Colours stand for what was done to the input: grey for as it is, violet for rotated with the
channels in their own order, teal for permuted and rotated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages._ui import palette, wording
from pages._ui.charts import lay_out, log_ticks
from pages._ui.heatmap import Cell, colour_bar, heatmap, log10, logarithmic
from pages._ui.outliers.words import KEPT, MEASURES, PERMUTED, outcomes, site_labels

if TYPE_CHECKING:
    from qcore.analysis.captures import Place, SampledTokens, View

COLOURS = {
    "all": palette.NEUTRAL,
    "sample": palette.NEUTRAL,
    KEPT: palette.ORDER_COLOURS["kept"],
    PERMUTED: palette.ORDER_COLOURS["permuted"],
}
SYMBOLS = {
    KEPT: palette.ORDER_SYMBOLS["kept"],
    PERMUTED: palette.ORDER_SYMBOLS["permuted"],
}
BARS_UP_TO = 128
_HEIGHT = 340


def site_map(places: Sequence[Place], measure: str, chosen: tuple[int, str]) -> go.Figure:
    """Layers × sites coloured by a measure on a log scale; each cell's click carries its place.

    Args:
        places: at least one.
        measure: which of `words.MEASURES` colours.
        chosen: layer and site that get a frame.
    """
    labels = site_labels()
    rows = [name for name in labels if any(place.site == name for place in places)]
    depth = 1 + max(place.block for place in places)
    values = [getattr(place.measures, measure) for place in places]
    cells = [
        Cell(
            id=f"{place.block}/{place.site}",
            row=rows.index(place.site),
            column=place.block,
            value=log10(value),
            hover=f"Layer {place.block} · {labels[place.site]}<br>{MEASURES[measure].label}: "
            f"<b>{wording.significant(value)}</b>",
        )
        for place, value in zip(places, values, strict=True)
    ]
    figure = heatmap(cells, logarithmic(values), "/".join(map(str, chosen)))
    figure.update_layout(height=90 + 42 * len(rows))
    figure.update_xaxes(title="layer", dtick=1 if depth <= 40 else 5)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=[labels[name] for name in rows])
    return figure


def distributions(view: View) -> go.Figure:
    """How |x| is distributed before and after, on log axes."""
    figure = go.Figure()
    names = {
        "all": (f"before, all {view.tokens:,} tokens", "all", "solid"),
        "sample": ("before, sampled tokens", "sample", "dot"),
        "kept": (f"rotated, {KEPT}, sampled tokens", KEPT, "solid"),
        "permuted": ("permuted and rotated, sampled tokens", PERMUTED, "dash"),
    }
    for key, curve in view.curves.items():
        name, colour, dash = names[key]
        figure.add_trace(
            go.Scatter(
                x=curve.magnitude,
                y=np.where(curve.density > 0, curve.density, np.nan),
                mode="lines",
                name=name,
                line={"color": COLOURS[colour], "dash": dash, "width": 2, "shape": "hvh"},
                fill="tozeroy" if key == "all" else None,
                fillcolor=palette.translucent(COLOURS["all"], 0.15),
                hovertemplate="|x| ≈ %{x:.3g}: %{y:.2%} per octave<extra>%{fullData.name}</extra>",
            )
        )
    lay_out(figure, _HEIGHT, top=56, dragmode="zoom")
    figure.update_layout(hovermode="closest")
    every = np.concatenate([curve.magnitude for curve in view.curves.values()])
    if len(every):
        # What lies four decades below the largest value is rounded to zero in any format.
        high = float(every.max())
        low = max(float(every.min()), high * 1e-4)
        figure.update_xaxes(range=[math.log10(low), math.log10(high * 1.2)])
    figure.update_xaxes(
        type="log", title="magnitude |x|, log scale", exponentformat="power", dtick=1
    )
    shares = [10.0**step for step in range(-9, 1)]
    figure.update_yaxes(
        type="log",
        title="share per octave, log scale",
        tickvals=shares,
        ticktext=[f"{100 * share:g} %" for share in shares],
    )
    return figure


def bounds(view: View) -> go.Figure:
    """Each sampled token: the bound against the actual peak, both over the peak before."""
    figure = go.Figure()
    ends = [1.0]
    before = np.where(view.before.peak > 0, view.before.peak, np.nan)
    for name, outcome in outcomes(view):
        bound, actual = outcome.bound / before, outcome.rotated.peak / before
        ends += [float(f(values)) for values in (bound, actual) for f in (np.nanmin, np.nanmax)]
        figure.add_trace(
            go.Scatter(
                x=bound,
                y=actual,
                mode="markers",
                name=name,
                marker={
                    "color": COLOURS[name],
                    "symbol": SYMBOLS[name],
                    "size": 7,
                    "opacity": 0.8,
                },
                customdata=np.arange(len(bound)),
                hovertemplate="sampled token %{customdata}<br>bound %{x:.2f} × the peak before<br>"
                "actual %{y:.2f} × the peak before<extra>%{fullData.name}</extra>",
            )
        )
    low, high = min(ends) / 1.15, max(ends) * 1.15
    for x, y, dash, name in (
        ([low, high], [low, high], "dash", "the bound is reached"),
        ([low, high], [1, 1], "dot", "no gain"),
    ):
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                name=name,
                hoverinfo="skip",
                line={"color": palette.NEUTRAL, "dash": dash, "width": 1.5},
            )
        )
    lay_out(figure, _HEIGHT, top=56, dragmode="zoom")
    ticks = log_ticks(low, high)
    axis = {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }
    figure.update_xaxes(title="bound max‖x₍ⱼ₎‖₁/√b, over ‖x‖∞", **axis)
    figure.update_yaxes(title="actual ‖xR‖∞, over ‖x‖∞", **axis)
    return figure


def pictures(stages: Sequence[tuple[str, SampledTokens]]) -> go.Figure:
    """Channel × token pictures side by side on one colour scale."""
    figure = make_subplots(
        rows=1,
        cols=len(stages),
        subplot_titles=[title for title, _ in stages],
        horizontal_spacing=0.06,
    )
    high = max(float(stage.picture.max(initial=1.0)) for _, stage in stages)
    for column, (_, stage) in enumerate(stages, start=1):
        figure.add_trace(
            go.Heatmap(
                z=np.log2(np.maximum(stage.picture, _FLOOR)),
                y=stage.channels * np.arange(len(stage.picture), dtype=np.int32),
                coloraxis="coloraxis",
                hovertemplate="from channel %{y}, token %{x}<br>peak 2<sup>%{z:.1f}</sup> × RMS"
                "<extra></extra>",
            ),
            row=1,
            col=column,
        )
    octaves = list(range(round(math.log2(_FLOOR)), math.ceil(math.log2(high)) + 1))
    lay_out(figure, 430, top=34)
    figure.update_annotations(font_size=12)
    figure.update_layout(
        coloraxis={
            "colorscale": palette.HEAT,
            "cmin": math.log2(_FLOOR),
            "cmax": math.log2(high),
            "colorbar": colour_bar(octaves, [f"{2.0**octave:g}" for octave in octaves], "× RMS"),
        },
    )
    figure.update_xaxes(title="sampled token", showgrid=False, zeroline=False, automargin=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, automargin=True)
    figure.update_yaxes(title="channel", row=1, col=1)
    return figure


_FLOOR = 0.5
"""Half the RMS: what lies below is no outlier, and is drawn alike."""


def masses(view: View) -> go.Figure:
    """Every block's ℓ1 mass under each order, and the mass that all would have if equal."""
    figure = go.Figure()
    ideal, last = 0.0, 0
    for name, outcome in outcomes(view):
        blocks = np.arange(len(outcome.mass), dtype=np.int32)
        ideal, last = float(outcome.mass.mean()), len(blocks) - 1
        hover = "block %{x}: %{y:.4g}<extra>" + name + "</extra>"
        plain = "." if name == PERMUTED else ""
        if len(blocks) <= BARS_UP_TO:
            bars = go.Bar(
                x=blocks,
                y=outcome.mass,
                name=name,
                marker={
                    "color": COLOURS[name],
                    "line": {"width": 0},
                    "pattern": {
                        "shape": [
                            "/" if worse else plain for worse in np.isin(blocks, outcome.flagged)
                        ],
                        "solidity": 0.35,
                    },
                },
                hovertemplate=hover,
            )
            figure.add_trace(bars)
        else:
            dash = "dash" if name == PERMUTED else "solid"
            line = {"color": COLOURS[name], "width": 1.5, "shape": "hvh", "dash": dash}
            figure.add_trace(
                go.Scatter(
                    x=blocks,
                    y=outcome.mass,
                    mode="lines",
                    name=name,
                    line=line,
                    hovertemplate=hover,
                )
            )
    figure.add_trace(
        go.Scatter(
            x=[-0.5, last + 0.5],
            y=[ideal, ideal],
            mode="lines",
            name=f"ideal, {wording.significant(ideal, 3)}",
            line={"color": palette.NEUTRAL, "dash": "dash", "width": 2},
            hoverinfo="skip",
        )
    )
    lay_out(figure, _HEIGHT, top=56, dragmode="zoom")
    figure.update_layout(bargap=0.15, bargroupgap=0.0)
    figure.update_xaxes(title="block of the rotation")
    figure.update_yaxes(title="mean ℓ1 mass", rangemode="tozero")
    return figure
