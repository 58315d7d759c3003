"""Budgets and dMX's training to plotly figures, pure: measured is filled, predicted hollow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages._ui import columns, messages, palette, wording
from pages._ui.bits.words import short_projection
from pages._ui.charts import RIM, covered, error_bars, explain, lay_out, log_ticks, ring
from pages._ui.runs.words import bars_label
from qcore.report import metrics
from qcore.report.metrics import Axis

if TYPE_CHECKING:
    from pages._ui.bits.forecast import Told
    from qcore.report.report import Trajectory


def quality(
    table: pd.DataFrame,
    score: Axis,
    bits_label: str,
    *,
    curve: Sequence[Told] = (),
    here: Sequence[Told] = (),
    budget: float = math.nan,
    reference: float = math.nan,
    selected: str = "",
) -> go.Figure:
    """Draw measured runs filled and predictions hollow, over average bits.

    Args:
        table: rows of `tables.measured`.
        score: what runs along y.
        bits_label: of the x axis.
        curve: one method's predictions over all budgets: a dotted line in its band.
        here: every method's prediction at one budget: hollow points.
        budget: drawn as an upright line.
        reference: the float model's score; not drawn on a log axis, whose runs it would squeeze.
        selected: the run that gets a ring.
    """
    figure = go.Figure()
    value = columns.numbers(table, score.column)
    table = table.loc[np.isfinite(value) & (value > 0) if score.logarithmic else np.isfinite(value)]
    if curve:
        _draw_curve(figure, curve)
    for told in here:
        _draw_hollow(figure, told, score)
    methods = columns.words(table, "method")
    parts = {method: np.flatnonzero(methods == method) for method in dict.fromkeys(methods)}
    height = columns.numbers(table, score.column)
    height = np.log(height) if score.logarithmic else height
    rims = covered(columns.numbers(table, "bits"), height, parts.values(), logarithmic=False)
    for method, part in parts.items():
        _draw_measured(figure, table.iloc[part], method, score, rims[part])
    explain(figure, bars_label(score) if len(table) else "", rims=bool(rims.any()))
    shown = table.loc[table["id"] == selected]
    if len(shown):
        x, y = columns.numbers(shown, "bits"), columns.numbers(shown, score.column)
        figure.add_trace(ring(x, y, "shown below"))
    if math.isfinite(budget):
        figure.add_vline(
            x=budget,
            line={"color": palette.NEUTRAL, "width": 1, "dash": "dash"},
            annotation={"text": "budget", "yanchor": "top"},
        )
    if math.isfinite(reference) and not score.logarithmic:
        figure.add_hline(
            y=reference,
            line={"color": palette.NEUTRAL, "width": 1.5, "dash": "dot"},
            annotation={"text": "float model"},
        )
    _lay_out(figure, score, bits_label)
    if score.logarithmic:
        drawn = [*columns.numbers(table, score.column), *(t.prediction.value for t in curve)]
        ticks = log_ticks(min(drawn), max(drawn)) if drawn else []
        figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def _draw_curve(figure: go.Figure, curve: Sequence[Told]) -> None:
    colour = palette.colour(curve[0].method)
    rough = curve[0].prediction.runs < 2  # what one run says of the next is little
    x = np.array([told.bits for told in curve], dtype=np.float32)
    low = np.array([told.prediction.low for told in curve], dtype=np.float32)
    high = np.array([told.prediction.high for told in curve], dtype=np.float32)
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            mode="lines",
            line={"width": 1 if rough else 0, "dash": "dash", "color": colour},
            fill="toself",
            fillcolor=palette.translucent(colour, 0.05 if rough else 0.13),
            hoverinfo="skip",
            name="rough 95 % band" if rough else "95 % band",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=np.array([told.prediction.value for told in curve], dtype=np.float32),
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dot"},
            name=f"{curve[0].method}, predicted",
            hoverinfo="skip",
        )
    )


def _draw_hollow(figure: go.Figure, told: Told, score: Axis) -> None:
    colour, found = palette.colour(told.method), told.prediction
    figure.add_trace(
        go.Scatter(
            x=[told.bits],
            y=[found.value],
            mode="markers",
            marker={
                "symbol": f"{palette.symbol(told.method)}-open",
                "size": 13,
                "color": colour,
                "line": {"width": 2.5},
            },
            hovertemplate=f"<b>{told.method}</b>, predicted<br>{told.bits:.3f} bits<br>"
            f"{messages.plotly_text(score.label)} <b>{wording.significant(found.value, 3)}</b> "
            f"{wording.interval(found.low, found.high, 3)}<extra></extra>",
            name=f"{told.method}, predicted here",
        )
    )


def _draw_measured(
    figure: go.Figure, group: pd.DataFrame, method: str, score: Axis, rims: np.ndarray
) -> None:
    colour = palette.colour(method)
    figure.add_trace(
        go.Scatter(
            x=columns.numbers(group, "bits").astype(np.float32),
            y=columns.numbers(group, score.column).astype(np.float32),
            error_y=error_bars(group, score, colour),
            mode="markers",
            name=f"{method}, measured",
            customdata=columns.words(group, "id"),
            text=_hover(group, score),
            hovertemplate="%{text}<extra></extra>",
            marker={
                "color": colour,
                "symbol": palette.symbol(method),
                "size": 11 + RIM * rims,
                "opacity": 0.9,
            },
        )
    )


def _lay_out(figure: go.Figure, score: Axis, bits_label: str) -> None:
    lay_out(figure, 440, hovermode="closest", dragmode=False)
    figure.update_xaxes(title=bits_label)
    better = "higher is better" if score.higher_is_better else "lower is better"
    scale = ", log scale" if score.logarithmic else ""
    figure.update_yaxes(
        title=f"{messages.plotly_text(score.label)} – {better}{scale}",
        type="log" if score.logarithmic else "linear",
        tickformat=".0%" if metrics.is_share(score.column) else None,
    )


def _hover(group: pd.DataFrame, score: Axis) -> list[str]:
    lines, label = [], messages.plotly_text(score.label)
    for row in group.to_dict("records"):
        span = wording.interval(row.get(f"{score.column}/low"), row.get(f"{score.column}/high"), 3)
        asked = f", budget {row['budget']:g}" if math.isfinite(row["budget"]) else ""
        lines.append(
            f"<b>{row['method']}</b>, measured{asked}<br>{row['bits']:.3f} bits<br>{label} "
            f"<b>{wording.significant(row[score.column])}</b>{'' if span == '–' else ' ' + span}"
            f"<br>{row['id']}"
        )
    return lines


def trajectory(path: Trajectory, budget: float, formats: int) -> go.Figure:
    """DMX's training: loss and average bits above, every layer's offset below.

    Args:
        path: what the run kept.
        budget: that it trained towards; NaN draws no line.
        formats: how many there were; dotted lines part their offsets (`qcore.precision.budget`).
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
        _draw_level(figure, 2, budget, "dash")
    for step in range(formats - 1):
        _draw_level(figure, 3, (2 * step + 1) / (formats - 1), "dot")
    by_projection: dict[str, list[str]] = {}
    for layer in path.offsets:
        by_projection.setdefault(layer.rsplit(".", 1)[-1], []).append(layer)
    known = list(palette.PROJECTION_COLOURS)
    for projection in sorted(by_projection, key=lambda p: known.index(p) if p in known else 99):
        names = by_projection[projection]
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
                name=messages.plotly_text(short_projection(projection)),
                line={
                    "color": palette.PROJECTION_COLOURS.get(projection, palette.NEUTRAL),
                    "width": 1.2,
                    "dash": palette.PROJECTION_DASHES.get(projection, "solid"),
                },
                opacity=0.75,
                customdata=np.repeat(
                    np.asarray([*map(messages.plotly_text, names)], dtype=object), len(steps) + 1
                ),
                hovertemplate="%{customdata}<br>step %{x}: offset %{y:.3f}<extra></extra>",
            ),
            row=3,
            col=1,
        )
    lay_out(figure, 620, hovermode="closest")
    figure.update_xaxes(title="optimiser step", row=3, col=1)
    figure.update_yaxes(title="loss", row=1, col=1)
    figure.update_yaxes(title="bits", row=2, col=1)
    figure.update_yaxes(title="offset β̂", row=3, col=1)
    return figure


def _draw_level(figure: go.Figure, row: int, level: float, dash: str) -> None:
    """A line across one row of the training's figure."""
    figure.add_shape(
        type="line",
        xref=f"x{row} domain",
        yref=f"y{row}",
        x0=0,
        x1=1,
        y0=level,
        y1=level,
        line={"color": palette.NEUTRAL, "width": 1, "dash": dash},
    )
