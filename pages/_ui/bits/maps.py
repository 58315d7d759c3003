"""Assignments and sensitivities as maps, and what each projection got, pure.

Both maps have a decoder block per row and a projection per column, and one scale of colours: bright
is wide in the one and sensitive in the other, so that what is bright on the right should be bright
on the left.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from pages._ui import wording
from pages._ui.bits.tables import projections
from pages._ui.bits.words import format_label, short_projection, widths_label
from pages._ui.charts import log_ticks
from pages._ui.columns import numbers, words
from qcore.formats.format import FORMATS

if TYPE_CHECKING:
    from qcore.precision.layers import LayerSize

HEAT = "Viridis"
"""Even in lightness, and told apart with every common colour blindness."""

_CHOSEN = "#E0A100"
_TEXT_UP_TO = 48
"""More rows than this leave no room for text in a map's cells."""


def format_colours(names: Collection[str]) -> dict[str, str]:
    """A colour for each format, dark to bright as they grow wider."""
    ordered = sorted(names, key=lambda name: FORMATS[name].bits)
    places = np.linspace(0.18, 0.95, len(ordered)) if len(ordered) > 1 else [0.5]
    return {
        name: str(colour)
        for name, colour in zip(ordered, sample_colorscale(HEAT, list(places)), strict=True)
    }


def format_map(
    layers: Sequence[LayerSize],
    formats: Mapping[str, str],
    allowed: Sequence[str],
    *,
    after: Mapping[str, str] | None = None,
    pinned: Collection[str] = (),
    chosen: str = "",
) -> go.Figure:
    """Which layer gets which format; each cell's click carries its layer.

    Args:
        layers: all of the network.
        formats: by layer name.
        allowed: the formats that the legend names.
        after: another assignment; where it differs the cell reads `4 → 8`.
        pinned: layers marked as pinned.
        chosen: the layer that gets a frame.
    """
    names = sorted({*allowed, *formats.values()}, key=lambda name: FORMATS[name].bits)
    labels = widths_label({*names, *(after or {}).values()})
    texts = {}
    for layer in layers:
        text = labels[formats[layer.name]]
        if after is not None and after[layer.name] != formats[layer.name]:
            text = f"<b>{text} → {labels[after[layer.name]]}</b>"
        texts[layer.name] = f"{text} pin" if layer.name in pinned else text
    colours = format_colours(names)
    count = len(names)
    steps = [
        (edge, colours[name])
        for at, name in enumerate(names)
        for edge in (at / count, (at + 1) / count)
    ]
    return _map(
        layers,
        {name: float(names.index(chosen_format)) for name, chosen_format in formats.items()},
        texts,
        {layer.name: format_label(formats[layer.name]) for layer in layers},
        chosen,
        colorscale=steps,
        zmin=-0.5,
        zmax=count - 0.5,
        colorbar={
            "tickvals": list(range(count)),
            "ticktext": [format_label(name).replace(" ", "<br>") for name in names],
        },
    )


def sensitivity_map(
    layers: Sequence[LayerSize], values: Mapping[str, float], label: str, chosen: str = ""
) -> go.Figure:
    """What a format costs each layer, on a log scale; nothing is drawn where it costs nothing.

    Args:
        layers: all of the network.
        values: by layer name; ones of zero or less, which a log scale has no place for, stay blank.
        label: with its unit.
        chosen: the layer that gets a frame.
    """
    positive = [value for value in values.values() if math.isfinite(value) and value > 0]
    ticks = log_ticks(min(positive), max(positive)) if positive else []
    return _map(
        layers,
        {name: math.log10(v) if v > 0 else math.nan for name, v in values.items()},
        dict.fromkeys(values, ""),
        {name: f"{label} {wording.significant(value, 3)}" for name, value in values.items()},
        chosen,
        colorscale=HEAT,
        colorbar={
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [f"{tick:g}" for tick in ticks],
        },
    )


def _map(
    layers: Sequence[LayerSize],
    values: Mapping[str, float],
    texts: Mapping[str, str],
    hover: Mapping[str, str],
    chosen: str,
    *,
    colorscale,
    colorbar: dict,
    zmin: float | None = None,
    zmax: float | None = None,
) -> go.Figure:
    columns = projections(layers)
    depth = 1 + max(layer.block for layer in layers)
    at = {layer.name: (layer.block, columns.index(layer.projection)) for layer in layers}
    z = np.full((depth, len(columns)), np.nan, dtype=np.float32)
    text = np.full((depth, len(columns)), "", dtype=object)
    for layer in layers:
        z[at[layer.name]] = values[layer.name]
        text[at[layer.name]] = texts[layer.name]
    roomy = depth <= _TEXT_UP_TO
    figure = go.Figure(
        go.Heatmap(
            z=z,
            text=text if roomy else None,
            texttemplate="%{text}" if roomy else None,
            textfont={"size": 10},
            colorscale=colorscale,
            zmin=zmin,
            zmax=zmax,
            xgap=2,
            ygap=1,
            hoverinfo="skip",
            colorbar={"thickness": 10, "outlinewidth": 0, **colorbar},
        )
    )
    figure.add_trace(  # a heatmap cannot be selected from: invisible points lie over its cells
        go.Scatter(
            x=[at[layer.name][1] for layer in layers],
            y=[layer.block for layer in layers],
            mode="markers",
            marker={"size": 14, "symbol": "square", "opacity": 0},
            selected={"marker": {"opacity": 0}},
            unselected={"marker": {"opacity": 0}},
            customdata=[[layer.name] for layer in layers],
            text=[hover[layer.name] for layer in layers],
            hovertemplate="%{customdata[0]}<br><b>%{text}</b><extra></extra>",
            showlegend=False,
        )
    )
    if chosen in at:
        row, column = at[chosen]
        figure.add_shape(
            type="rect",
            x0=column - 0.5,
            x1=column + 0.5,
            y0=row - 0.5,
            y1=row + 0.5,
            line={"color": _CHOSEN, "width": 3},
        )
    figure.update_layout(
        height=70 + (17 if roomy else 11) * depth,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        clickmode="event+select",
        dragmode=False,
        hovermode="closest",
        hoverdistance=60,
        uirevision="keep",
    )
    figure.update_xaxes(
        side="top",
        showgrid=False,
        zeroline=False,
        tickvals=list(range(len(columns))),
        ticktext=[short_projection(name) for name in columns],
        range=[-0.5, len(columns) - 0.5],
    )
    figure.update_yaxes(
        title="block",
        showgrid=False,
        zeroline=False,
        automargin=True,
        dtick=1 if depth <= 16 else 5,
        range=[depth - 0.5, -0.5],
    )
    return figure


def shares(table: pd.DataFrame, allowed: Sequence[str]) -> go.Figure:
    """Each projection's weights shared over the formats, with its mean bits.

    Args:
        table: `bits_frames.projection_table`.
        allowed: the formats of the map beside it, so that both have the same colours.
    """
    names = [column.removeprefix("share/") for column in table if column.startswith("share/")]
    colours = format_colours({*allowed, *names})
    labels = [short_projection(name) for name in words(table, "projection")]
    figure = go.Figure()
    for name in names:
        share = numbers(table, f"share/{name}")
        figure.add_trace(
            go.Bar(
                y=labels,
                x=share.astype(np.float32),
                orientation="h",
                name=format_label(name),
                marker={"color": colours[name], "line": {"width": 0}},
                hovertemplate=f"%{{y}}: %{{x:.0%}} of its weights in {format_label(name)}"
                "<extra></extra>",
            )
        )
    for label, bits in zip(labels, numbers(table, "bits"), strict=True):
        figure.add_annotation(
            x=1.0, y=label, text=f"{bits:.2f} bits", xanchor="left", xshift=6, showarrow=False
        )
    figure.update_layout(
        barmode="stack",
        height=90 + 34 * len(labels),
        margin={"l": 8, "r": 70, "t": 36, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        legend_traceorder="normal",
        dragmode=False,
    )
    figure.update_xaxes(
        title="share of the projection's weights", tickformat=".0%", range=[0, 1], zeroline=False
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure
