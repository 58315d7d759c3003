"""Figures of the Compare page: the forest of differences, layers side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages._ui import columns, palette
from pages._ui.compare import words
from qcore.explore.compare import LayerComparison

_ROW, _FRAME = 46, 120
"""Pixels for a run, and for axis and margins."""


def forest(table: pd.DataFrame, label: str) -> go.Figure:
    """Differences from the baseline with their intervals; left of zero, or right, is better.

    Args:
        table: as `tables.forest` makes it; at least one row.
        label: of the metric.
    """
    figure = go.Figure()
    for verdict, symbol, name in (
        (True, "circle", "better"),
        (False, "diamond", "worse"),
        (None, "circle-open", "open: zero lies inside"),
    ):
        rows = table.loc[[value is verdict for value in table["better"]]]
        if rows.empty:
            continue
        value = columns.numbers(rows, "value")
        colours = [palette.run_colour(words.LETTERS.index(run)) for run in rows["run"]]
        figure.add_scatter(
            x=value,
            y=list(rows["run"]),
            mode="markers",
            name=name,
            marker={"size": 12, "symbol": symbol, "color": colours, "line": {"width": 2}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": np.nan_to_num(columns.numbers(rows, "high") - value),
                "arrayminus": np.nan_to_num(value - columns.numbers(rows, "low")),
                "thickness": 2,
                "width": 6,
                "color": palette.NEUTRAL,
            },
            hovertemplate="%{y} − A: %{x:.4g}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": palette.NEUTRAL, "width": 1.5, "dash": "dot"})
    unit = table["unit"].iloc[0]
    side = "right" if table["higher_is_better"].iloc[0] else "left"
    figure.update_layout(
        height=_FRAME + _ROW * len(table),
        showlegend=True,
        margin={"l": 30, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(
        title_text=f"{label}: run − A{f' ({unit})' if unit else ''}; {side} is better",
        zeroline=False,
    )
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def layers(rows: Sequence[LayerComparison]) -> go.Figure:
    """Each run's error of every layer, in the network's order, on a log axis."""
    outputs = any(any(row.output_errors) for row in rows)
    figure = go.Figure()
    names = [row.name for row in rows]
    for place in range(len(rows[0].formats)):
        errors = [(row.output_errors if outputs else row.weight_errors)[place] for row in rows]
        if not any(errors):
            continue
        figure.add_scatter(
            x=list(range(len(rows))),
            y=np.array([error or np.nan for error in errors], dtype=np.float32),
            mode="lines+markers",
            name=words.LETTERS[place],
            text=[f"{name} · {row.formats[place]}" for name, row in zip(names, rows, strict=True)],
            line={"width": 1.2, "dash": palette.RUN_DASHES[place]},
            marker={"size": 5, "symbol": palette.SYMBOLS[place]},
            marker_color=palette.run_colour(place),
            line_color=palette.run_colour(place),
            hovertemplate="%{text}<br>%{y:.3g}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        height=380,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="x unified" if len(rows) < 60 else "closest",
    )
    blocks = [at for at, row in enumerate(rows) if at == 0 or _block(row) != _block(rows[at - 1])]
    step = max(1, len(blocks) // 12)
    figure.update_xaxes(
        title_text="layer, by decoder block",
        tickvals=blocks[::step],
        ticktext=[_block(rows[at]) for at in blocks[::step]],
    )
    what = "output error ‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖²" if outputs else "weight error ‖W − Ŵ‖² / ‖W‖²"
    figure.update_yaxes(type="log", title_text=what, exponentformat="power")
    return figure


def _block(row: LayerComparison) -> str:
    return row.name.split(".", 1)[0]
