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
            y=list(rows["row"]),
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
    unit = table["unit"].iloc[0]
    side = "right" if table["higher_is_better"].iloc[0] else "left"
    figure.update_layout(
        height=_FRAME + _ROW * len(table),
        shapes=[_upright(0, 1.5)],
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


def histogram(
    found: Sequence[tuple[int, np.ndarray]], chosen: int, unit: str, *, logarithmic: bool
) -> go.Figure:
    """How many tokens lie where, a line a run, with the chosen run's quantiles.

    Args:
        found: a run's place among the letters, and a number for each of its tokens.
        chosen: the place of the run whose quantiles are drawn.
        unit: of the numbers.
        logarithmic: whether the numbers' axis is; what is below 1e-6 is then counted there.
    """
    values = {place: _placed(numbers, logarithmic) for place, numbers in found}
    every = np.concatenate(list(values.values()))
    low, high = np.quantile(every, [0, 1] if logarithmic else [0.0005, 0.9995])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure()
    for place, numbers in values.items():
        counts, _ = np.histogram(np.clip(numbers, edges[0], edges[-1]), edges)
        figure.add_scatter(
            x=(10**middles if logarithmic else middles).astype(np.float32),
            y=counts.astype(np.float32),
            mode="lines",
            name=words.LETTERS[place],
            line={
                "shape": "hvh",
                "width": 2 if place == chosen else 1,
                "color": palette.run_colour(place),
                "dash": palette.RUN_DASHES[place],
            },
            hovertemplate=f"%{{x:.3g}} {unit}: %{{y:,.0f}} tokens<extra>%{{fullData.name}}</extra>",
        )
    shares = (0.5, 0.9, 0.99, 0.999) if logarithmic else (0.01, 0.5, 0.99)
    wanted = np.quantile(values[chosen], shares)
    ends = (10**wanted if logarithmic else wanted).tolist()
    # Lines and words are handed over at once: added one by one they take longer than all the rest.
    figure.update_layout(
        height=260,
        margin={"l": 60, "r": 20, "t": 30, "b": 45},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        shapes=[_upright(x, 1) for x in ends],
        annotations=[
            {
                "x": float(np.log10(x)) if logarithmic else x,
                "y": 1,
                "yref": "paper",
                "yanchor": "top",
                "yshift": -14 * at,
                "xanchor": "left",
                "showarrow": False,
                "font": {"size": 11},
                "text": "median" if share == 0.5 else f"{100 * share:g} %",
            }
            for at, (x, share) in enumerate(zip(ends, shares, strict=True))
        ],
    )
    figure.update_xaxes(
        title_text=unit, type="log" if logarithmic else "linear", exponentformat="power"
    )
    figure.update_yaxes(title_text="tokens", type="log", exponentformat="power", dtick=1)
    return figure


_BINS = 80
_LEAST = 1e-6


def _placed(numbers: np.ndarray, logarithmic: bool) -> np.ndarray:
    flat = numbers[np.isfinite(numbers)].astype(np.float64)
    return np.log10(np.maximum(flat, _LEAST)) if logarithmic else flat


def _upright(x: float, width: float) -> dict:
    """A dotted line from top to bottom, as a shape of a layout."""
    line = {"color": palette.NEUTRAL, "width": width, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _block(row: LayerComparison) -> str:
    return row.name.split(".", 1)[0]
