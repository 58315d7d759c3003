"""Assignments and sensitivities as maps, and what each projection got, pure.

Both maps have a decoder block per row and a projection per column, and one scale of colours: bright
is wide in the one and sensitive in the other, so that what is bright on the right should be bright
on the left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from pages._ui import messages, palette, wording
from pages._ui.bits.tables import projections
from pages._ui.bits.words import format_label, short_projection, widths_label
from pages._ui.charts import lay_out
from pages._ui.columns import numbers, words
from pages._ui.heatmap import Cell, Colours, heatmap, log10, logarithmic
from qcore.formats.format import FORMATS

if TYPE_CHECKING:
    from qcore.precision.layers import LayerSize

_TEXT_UP_TO = 48
"""More rows than this leave no room for text in a map's cells."""


def format_colours(names: Collection[str]) -> dict[str, str]:
    """A colour for each format, dark to bright as they grow wider."""
    ordered = sorted(names, key=lambda name: FORMATS[name].bits)
    places = np.linspace(0.18, 0.95, len(ordered)) if len(ordered) > 1 else [0.5]
    return {
        name: str(colour)
        for name, colour in zip(ordered, sample_colorscale(palette.HEAT, list(places)), strict=True)
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
        Colours(
            scale=steps,
            low=-0.5,
            high=count - 0.5,
            ticks=range(count),
            names=[format_label(name).replace(" ", "<br>") for name in names],
        ),
        chosen,
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
    return _map(
        layers,
        {name: log10(value) for name, value in values.items()},
        {},
        {name: f"{label} {wording.significant(value, 3)}" for name, value in values.items()},
        logarithmic(values.values()),
        chosen,
    )


def _map(
    layers: Sequence[LayerSize],
    values: Mapping[str, float],
    texts: Mapping[str, str],
    hover: Mapping[str, str],
    colours: Colours,
    chosen: str,
) -> go.Figure:
    """Blocks downwards, projections across; cells hold text where there is room for it."""
    columns = projections(layers)
    depth = 1 + max(layer.block for layer in layers)
    roomy = depth <= _TEXT_UP_TO
    cells = [
        Cell(
            id=layer.name,
            row=layer.block,
            column=columns.index(layer.projection),
            value=values[layer.name],
            hover=f"{messages.plotly_text(layer.name)}<br><b>{hover[layer.name]}</b>",
            text=texts.get(layer.name, "") if roomy else "",
        )
        for layer in layers
    ]
    figure = heatmap(cells, colours, chosen)
    figure.update_layout(height=70 + (17 if roomy else 11) * depth)
    figure.update_xaxes(
        side="top",
        tickvals=list(range(len(columns))),
        ticktext=[messages.plotly_text(short_projection(name)) for name in columns],
    )
    figure.update_yaxes(title="block", dtick=1 if depth <= 16 else 5)
    return figure


def shares(table: pd.DataFrame, allowed: Sequence[str]) -> go.Figure:
    """Each projection's weights shared over the formats, with its mean bits.

    Args:
        table: `tables.projection_table`.
        allowed: the formats of the map beside it, so that both have the same colours.
    """
    names = [column.removeprefix("share/") for column in table if column.startswith("share/")]
    colours = format_colours({*allowed, *names})
    labels = [messages.plotly_text(short_projection(name)) for name in words(table, "projection")]
    figure = go.Figure()
    for place, name in enumerate(names):
        share = numbers(table, f"share/{name}")
        figure.add_trace(
            go.Bar(
                y=labels,
                x=share.astype(np.float32),
                orientation="h",
                name=format_label(name),
                marker={
                    "color": colours[name],
                    "line": {"width": 0},
                    "pattern": {
                        "shape": palette.PATTERNS[place % len(palette.PATTERNS)],
                        "solidity": 0.25,
                    },
                },
                hovertemplate=f"%{{y}}: %{{x:.0%}} of its weights in {format_label(name)}"
                "<extra></extra>",
            )
        )
    for label, bits in zip(labels, numbers(table, "bits"), strict=True):
        figure.add_annotation(
            x=1.0, y=label, text=f"{bits:.2f} bits", xanchor="left", xshift=6, showarrow=False
        )
    lay_out(figure, 90 + 34 * len(labels), barmode="stack", dragmode=False)
    figure.update_layout(legend_traceorder="normal", margin_r=90)
    figure.update_xaxes(
        title="share of the projection's weights", tickformat=".0%", range=[0, 1], zeroline=False
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure
