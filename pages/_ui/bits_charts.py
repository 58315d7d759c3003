"""Budgets and dMX's training to plotly figures, pure: measured is filled, predicted hollow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages._ui import frames, palette, wording
from pages._ui.bits_frames import short_projection
from pages._ui.charts import log_ticks
from pages._ui.frames import Axis

if TYPE_CHECKING:
    from qcore.report import Trajectory

PROJECTION_COLOURS = {
    "q_proj": "#2B7BC4",
    "k_proj": "#7B8494",
    "v_proj": "#D55E00",
    "o_proj": "#8C7A2E",
    "gate_proj": "#B0579B",
    "up_proj": "#0A8F6C",
    "down_proj": "#D9415D",
}
_CHOSEN = "#E0A100"


def quality(
    table: pd.DataFrame,
    score: Axis,
    bits_label: str,
    *,
    curve: pd.DataFrame | None = None,
    here: pd.DataFrame | None = None,
    budget: float = math.nan,
    reference: float = math.nan,
    selected: str = "",
) -> go.Figure:
    """Measured runs filled, predictions hollow, over average bits.

    Args:
        table: rows of `bits_frames.measured`.
        score: what runs along y.
        bits_label: of the x axis.
        curve: `method`, `bits`, `value`, `low`, `high` over all budgets, of one method: a line in
            its band.
        here: the same columns at one budget, a row per method: hollow points.
        budget: drawn as an upright line.
        reference: the float model's score.
        selected: the run that gets a ring.
    """
    figure = go.Figure()
    y = frames.numbers(table, score.column)
    table = table.loc[np.isfinite(y)] if len(table) else table
    if curve is not None and len(curve):
        _draw_curve(figure, curve)
    if here is not None:
        for row in here.itertuples():
            figure.add_trace(
                go.Scatter(
                    x=[row.bits],
                    y=[row.value],
                    error_y=_span(row.value, row.low, row.high, palette.colour(str(row.method))),
                    mode="markers",
                    name=f"{row.method}, predicted",
                    marker={
                        "symbol": "circle-open",
                        "size": 13,
                        "color": palette.colour(str(row.method)),
                        "line": {"width": 2.5},
                    },
                    hovertemplate=f"<b>{row.method}</b>, predicted<br>%{{x:.3f}} bits<br>"
                    f"{score.label} %{{y:.4g}}"
                    + (
                        f" {wording.interval(float(row.low), float(row.high), 3)}"
                        if math.isfinite(float(row.low))
                        else ""
                    )
                    + "<extra></extra>",
                    showlegend=False,
                )
            )
    for method in dict.fromkeys(frames.words(table, "method")):
        group = table.loc[table["method"] == method]
        colour = palette.colour(method)
        value = frames.numbers(group, score.column)
        low, high = (frames.numbers(group, f"{score.column}/{end}") for end in ("low", "high"))
        figure.add_trace(
            go.Scatter(
                x=frames.numbers(group, "bits").astype(np.float32),
                y=value.astype(np.float32),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": np.nan_to_num(high - value).clip(min=0).astype(np.float32),
                    "arrayminus": np.nan_to_num(value - low).clip(min=0).astype(np.float32),
                    "color": palette.translucent(colour, 0.45),
                    "thickness": 1.3,
                    "width": 3,
                },
                mode="markers",
                name=method,
                customdata=frames.words(group, "id"),
                text=_hover(group, score),
                hovertemplate="%{text}<extra></extra>",
                marker={"color": colour, "size": 11, "opacity": 0.9},
                unselected={"marker": {"opacity": 0.35}},
            )
        )
    ring = table.loc[table["id"] == selected] if len(table) else table
    if len(ring):
        figure.add_trace(
            go.Scatter(
                x=frames.numbers(ring, "bits"),
                y=frames.numbers(ring, score.column),
                mode="markers",
                marker={
                    "symbol": "circle-open",
                    "size": 22,
                    "color": _CHOSEN,
                    "line": {"width": 3},
                },
                hoverinfo="skip",
                showlegend=False,
            )
        )
    if math.isfinite(budget):
        figure.add_vline(x=budget, line={"color": palette.NEUTRAL, "width": 1, "dash": "dash"})
    if math.isfinite(reference) and not score.logarithmic:
        figure.add_hline(y=reference, line={"color": palette.NEUTRAL, "width": 1.5, "dash": "dot"})
    better = "higher is better" if score.higher_is_better else "lower is better"
    figure.update_layout(
        height=430,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        hoverlabel={"align": "left"},
        hovermode="closest",
        clickmode="event+select",
        dragmode=False,
        uirevision="keep",
    )
    figure.update_xaxes(title=bits_label, zeroline=False, automargin=True)
    scale = ", log scale" if score.logarithmic else ""
    figure.update_yaxes(
        title=f"{score.label} – {better}{scale}",
        type="log" if score.logarithmic else "linear",
        zeroline=False,
        automargin=True,
        tickformat=".0%" if frames.is_share(score.column) else None,
    )
    if score.logarithmic:
        drawn = [*frames.numbers(table, score.column)]
        drawn += [*frames.numbers(curve, "value")] if curve is not None else []
        drawn = [value for value in drawn if value > 0]
        if drawn:
            ticks = log_ticks(min(drawn), max(drawn))
            figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def _draw_curve(figure: go.Figure, curve: pd.DataFrame) -> None:
    """A method's prediction over all budgets, in its band."""
    method = str(curve["method"].iloc[0])
    colour = palette.colour(method)
    x = frames.numbers(curve, "bits")
    low, high = frames.numbers(curve, "low"), frames.numbers(curve, "high")
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([x[known], x[known][::-1]]).astype(np.float32),
                y=np.concatenate([high[known], low[known][::-1]]).astype(np.float32),
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=palette.translucent(colour, 0.13),
                hoverinfo="skip",
                name="95 % band of the prediction",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=x.astype(np.float32),
            y=frames.numbers(curve, "value").astype(np.float32),
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dot"},
            name=f"{method}, predicted",
            hoverinfo="skip",
        )
    )


def _span(value: float, low: float, high: float, colour: str) -> dict | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - value, 0)],
        "arrayminus": [max(value - low, 0)],
        "color": palette.translucent(colour, 0.45),
        "thickness": 1.3,
        "width": 3,
    }


def _hover(group: pd.DataFrame, score: Axis) -> list[str]:
    lines = []
    for row in group.to_dict("records"):
        span = wording.interval(row.get(f"{score.column}/low"), row.get(f"{score.column}/high"), 3)
        asked = f", budget {row['budget']:g}" if math.isfinite(row["budget"]) else ""
        lines.append(
            f"<b>{row['method']}</b>, measured{asked}<br>{row['bits']:.3f} bits<br>{score.label} "
            f"<b>{wording.significant(row[score.column])}</b>{'' if span == '–' else ' ' + span}"
            f"<br>{row['id']}"
        )
    return lines


def trajectory(path: Trajectory, budget: float) -> go.Figure:
    """DMX's training: loss and average bits above, every layer's offset below.

    Args:
        path: what the run kept.
        budget: that it trained towards; NaN draws no line.
    """
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.2, 0.2, 0.6]
    )
    steps = np.asarray(path.steps, dtype=np.float32)
    for row, (name, values, colour) in enumerate(
        (("loss", path.loss, palette.NEUTRAL), ("average bits", path.bits, palette.colour("dMX"))),
        start=1,
    ):
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=np.asarray(values, dtype=np.float32),
                mode="lines",
                line={"color": colour, "width": 2},
                showlegend=False,
                hovertemplate=f"step %{{x}}: {name} %{{y:.4g}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    if math.isfinite(budget):
        figure.add_hline(
            y=budget, line={"color": palette.NEUTRAL, "width": 1, "dash": "dash"}, row=2, col=1
        )
    by_projection: dict[str, list[str]] = {}
    for layer in path.offsets:
        by_projection.setdefault(layer.rsplit(".", 1)[-1], []).append(layer)
    for projection, names in by_projection.items():
        # One trace with gaps: a trace for each of some hundred layers would be slow to draw.
        gap = np.array([np.nan], dtype=np.float32)
        x = np.concatenate([np.concatenate([steps, gap]) for _ in names])
        y = np.concatenate(
            [np.concatenate([np.asarray(path.offsets[n], dtype=np.float32), gap]) for n in names]
        )
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                name=short_projection(projection),
                line={
                    "color": PROJECTION_COLOURS.get(projection, palette.NEUTRAL),
                    "width": 1.2,
                },
                opacity=0.75,
                customdata=np.repeat(np.asarray(names, dtype=object), len(steps) + 1),
                hovertemplate="%{customdata}<br>step %{x}: offset %{y:.3f}<extra></extra>",
            ),
            row=3,
            col=1,
        )
    figure.update_layout(
        height=620,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title": None},
        hovermode="closest",
        uirevision="keep",
    )
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(title="optimiser step", row=3, col=1)
    figure.update_yaxes(zeroline=False, automargin=True)
    figure.update_yaxes(title="loss", row=1, col=1)
    figure.update_yaxes(title="bits", row=2, col=1)
    figure.update_yaxes(title="offset β̂", row=3, col=1)
    return figure
