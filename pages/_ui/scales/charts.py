"""Figures of one channel's error over its scale, of its weights, and of all channels, pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from pages._ui import palette, wording
from pages._ui.charts import WEBGL_FROM, lay_out, log_ticks
from pages._ui.scales.words import METHODS, percent

if TYPE_CHECKING:
    from qcore.analysis.channels import Channel, Survey

PIECES_UP_TO = 1200
"""More pieces than this in view are drawn as the band that they fill."""

TICKS_UP_TO = 400
"""More transitions than this in view get no tick each: they would be a bar."""

_LEAST = 1e-9
"""Errors are drawn from here on: a logarithmic axis has no zero."""

_HEIGHT = 460


def objective(channel: Channel, low: float, high: float, name: str) -> go.Figure:
    """E(s) between two scales, in pieces, and where the methods land.

    Args:
        channel: under one grid and objective.
        low: the smallest scale drawn.
        high: the largest.
        name: of what is drawn; a new one forgets how the last was zoomed.
    """
    figure, found = go.Figure(), channel.objective
    inside = found.low[(found.low > low) & (found.low < high)]
    drawn = _pieces(figure, channel, low, high) if len(inside) <= PIECES_UP_TO else None
    drawn = drawn or _band(figure, channel, low, high)
    least, most = drawn
    _best_parabola(figure, channel, low, high, most)
    if 0 < len(inside) <= TICKS_UP_TO:
        _transitions(figure, inside, least)
    _landings(figure, channel, low, high)
    least = max(least, _LEAST)
    room = 0.06 * max(math.log10(most / least), 0.05)
    lay_out(figure, _HEIGHT, uirevision=name)
    ticks = _ticks(low, high)
    figure.update_xaxes(
        type="log",
        title="scale s, log scale",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{100 * tick:.5g} %" for tick in ticks],
        zeroline=False,
        automargin=True,
    )
    ticks = _ticks(least, most)
    figure.update_yaxes(
        type="log",
        title="output error ‖X(w − s·q)‖² / ‖Xw‖², log scale",
        range=[math.log10(least) - 2 * room, math.log10(most) + room],
        tickvals=ticks,
        ticktext=[f"{tick:.5g}" for tick in ticks],
        zeroline=False,
        automargin=True,
    )
    return figure


def rounded(channel: Channel, method: str) -> go.Figure:
    """The channel's weights over a method's scale, against the grid's points."""
    item, points = channel.rounded[method], channel.grid
    ratio = channel.weight / item.landing.scale
    low = 1.5 * points[0] - 0.5 * points[1]
    high = 1.5 * points[-1] - 0.5 * points[-2]
    reach = max(float(np.abs(ratio).max()), high, -low) * 1.02
    edges = np.linspace(-reach, reach, 161)
    count, _ = np.histogram(ratio, edges)
    middle = (edges[1:] + edges[:-1]) / 2
    clipped = (middle < low) | (middle > high)
    figure, colour = go.Figure(), palette.SCALE_COLOURS[method]
    top = float(count.max())
    shown = points if len(points) <= 64 else points[:: math.ceil(len(points) / 64)]
    figure.add_trace(
        go.Scatter(
            x=np.repeat(shown, 3).astype(np.float32),
            y=np.tile(np.array([0.5, top * 1.3, np.nan], dtype=np.float32), len(shown)),
            mode="lines",
            name="grid points" if len(shown) == len(points) else "some of the grid's points",
            line={"color": palette.NEUTRAL, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    for part, tone, label in (
        (~clipped, colour, f"weights / {METHODS[method]} scale"),
        (clipped, palette.CLIPPED, "clipped to the grid's end"),
    ):
        figure.add_trace(
            go.Bar(
                x=middle[part].astype(np.float32),
                y=np.where(count > 0, count, np.nan)[part].astype(np.float32),
                width=float(edges[1] - edges[0]),
                marker={
                    "color": tone,
                    "line": {"width": 0},
                    "pattern": {"shape": "x" if part is clipped else "", "solidity": 0.4},
                },
                name=label,
                hovertemplate="w/s ≈ %{x:.3g}: %{y} weights<extra></extra>",
            )
        )
    lay_out(figure, 300, bargap=0, barmode="overlay")
    figure.update_xaxes(title="w / s, in the grid's units", zeroline=False, automargin=True)
    figure.update_yaxes(
        title="weights, log scale",
        type="log",
        range=[math.log10(0.5), math.log10(top * 1.3)],
        tickvals=log_ticks(1, top),
        ticktext=[f"{tick:g}" for tick in log_ticks(1, top)],
        automargin=True,
    )
    return figure


def survey(found: Survey, over: str, chosen: int) -> go.Figure:
    """Channels by another method's error and PiSO's; each point's click carries its channel."""
    x = np.maximum(found.error[over], _LEAST)
    y = np.maximum(found.error["piso"], _LEAST)
    low, high = float(min(x.min(), y.min())) / 1.2, float(max(x.max(), y.max())) * 1.2
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            name="no gain",
            hoverinfo="skip",
            line={"color": palette.NEUTRAL, "dash": "dot", "width": 1.5},
        )
    )
    trace = go.Scattergl if len(x) > WEBGL_FROM else go.Scatter
    figure.add_trace(
        trace(
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            mode="markers",
            name="a channel",
            customdata=found.channel.astype(np.int32),
            text=[f"{gain:.3g}×" for gain in found.gain(over)],
            marker={"color": palette.SCALE_COLOURS["piso"], "size": 6, "opacity": 0.6},
            hovertemplate="channel %{customdata}<br>"
            + f"{METHODS[over]} "
            + "%{x:.3%} · PiSO %{y:.3%}<br>%{text} less error<extra></extra>",
        )
    )
    at = np.flatnonzero(found.channel == chosen)
    if len(at):
        figure.add_trace(
            go.Scatter(
                x=x[at],
                y=y[at],
                mode="markers",
                name="shown",
                hoverinfo="skip",
                marker={
                    "symbol": "circle-open",
                    "size": 18,
                    "color": palette.CHOSEN,
                    "line": {"width": 3},
                },
            )
        )
    lay_out(figure, _HEIGHT, uirevision=over)
    ticks = _ticks(low, high)
    axis = {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{100 * tick:.4g} %" for tick in ticks],
        "zeroline": False,
        "automargin": True,
    }
    figure.update_xaxes(title=f"{METHODS[over]} error", **axis)
    figure.update_yaxes(title="PiSO error", **axis)
    return figure


def _pieces(figure: go.Figure, channel: Channel, low: float, high: float) -> tuple[float, float]:
    """Every piece as a line of its own, in two tones by turns; returns the range of E."""
    from qcore.analysis.objective import sample  # imports torch

    curve = sample(channel.objective, low, high)
    error = np.maximum(curve.error, _LEAST)
    breaks = np.flatnonzero(np.diff(curve.piece)) + 1
    # Without a gap between them two pieces would be joined by a stroke that is no part of E.
    x = np.insert(curve.scale, breaks, np.nan).astype(np.float32)
    y = np.insert(error, breaks, np.nan).astype(np.float32)
    piece = np.insert(curve.piece, breaks, curve.piece[breaks])
    for turn, tone in enumerate(palette.PIECE_COLOURS):
        mine = piece % 2 == turn
        figure.add_trace(
            go.Scatter(
                x=x,
                y=np.where(mine, y, np.nan),
                mode="lines",
                name="pieces of the error, by turns" if turn == 0 else "",
                showlegend=turn == 0,
                line={"color": tone, "width": 2},
                hovertemplate="s = %{x:.6g}<br>error %{y:.4%}<extra></extra>",
            )
        )
    return float(error.min()), float(error.max())


def _band(figure: go.Figure, channel: Channel, low: float, high: float) -> tuple[float, float]:
    """What the pieces fill, where they are too many to be told apart; returns the range of E."""
    from qcore.analysis.objective import envelope  # imports torch

    found = envelope(channel.objective, low, high)
    middle = np.sqrt(found.edge[1:] * found.edge[:-1]).astype(np.float32)
    least, most = np.maximum(found.least, _LEAST), np.maximum(found.most, _LEAST)
    for values, name, fill in (
        (most, "", None),
        (least, "the band that the pieces fill", "tonexty"),
    ):
        figure.add_trace(
            go.Scatter(
                x=middle,
                y=values.astype(np.float32),
                mode="lines",
                name=name,
                showlegend=bool(name),
                line={"color": palette.PIECE_COLOURS[0], "width": 1},
                fill=fill,
                fillcolor=palette.translucent(palette.PIECE_COLOURS[0], 0.35),
                hovertemplate="s ≈ %{x:.4g}<br>error %{y:.4%}<extra></extra>",
            )
        )
    return float(least.min()), float(most.max())


def _best_parabola(
    figure: go.Figure, channel: Channel, low: float, high: float, most: float
) -> None:
    """The parabola on which PiSO lands, continued beyond its piece."""
    found = channel.objective
    piece = int(found.piece(np.array([channel.rounded["piso"].landing.scale]))[0])
    scale = np.geomspace(low, high, 300)
    error = np.maximum(found.parabola(piece, scale), _LEAST)
    figure.add_trace(
        go.Scatter(
            x=scale.astype(np.float32),
            y=np.where(error <= most, error, np.nan).astype(np.float32),
            mode="lines",
            name="PiSO's codes at other scales",
            line={
                "color": palette.SCALE_COLOURS["piso"],
                "width": 1.5,
                "dash": "dot",
            },
            hoverinfo="skip",
        )
    )


def _transitions(figure: go.Figure, inside: np.ndarray, least: float) -> None:
    figure.add_trace(
        go.Scatter(
            x=inside.astype(np.float32),
            y=np.full(len(inside), least, dtype=np.float32),
            mode="markers",
            name="a code changes",
            marker={
                "symbol": "line-ns-open",
                "size": 9,
                "color": palette.NEUTRAL,
                "line": {"width": 1},
            },
            hovertemplate="a code changes at s = %{x:.6g}<extra></extra>",
        )
    )


def _landings(figure: go.Figure, channel: Channel, low: float, high: float) -> None:
    for method, item in channel.rounded.items():
        scale, error = item.landing.scale, max(item.landing.error, _LEAST)
        if not low <= scale <= high:
            continue
        figure.add_trace(
            go.Scatter(
                x=[scale],
                y=[error],
                mode="markers+text",
                name=METHODS[method],
                text=[f"\u00a0\u00a0\u00a0{METHODS[method]} {percent(error)}\u00a0\u00a0\u00a0"],
                textposition=_beside(channel, method),
                textfont={"size": 13},
                cliponaxis=False,
                showlegend=False,
                marker={
                    "symbol": palette.SCALE_SYMBOLS[method],
                    "color": palette.SCALE_COLOURS[method],
                    "size": 15 if method == "piso" else 12,
                    "line": {"color": "white", "width": 1.5},
                },
                hovertemplate=f"<b>{METHODS[method]}</b><br>s = {wording.significant(scale, 6)}"
                f"<br>error {percent(error)}<extra></extra>",
            )
        )


def _beside(channel: Channel, method: str) -> str:
    """Where a landing's name stands: on the outer side of the valley, where there is no curve."""
    if method == "piso":
        return "bottom center"
    scale, best = (channel.rounded[name].landing.scale for name in (method, "piso"))
    return "middle left" if scale < best else "middle right"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers on a log axis; evenly spaced ones where it spans less than a third."""
    if high / low > 1.35:
        return [tick for tick in log_ticks(low, high) if low <= tick <= high]
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(part for part in (1, 2, 5) if (high - low) / (step * part) <= 7)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
