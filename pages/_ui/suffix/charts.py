"""The Suffixes page's figures, pure: the process, losses, attention, similarity, sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages._ui import columns, palette
from pages._ui.charts import lay_out
from pages._ui.messages import plotly_text
from qcore.report.suffix import EpochReport

if TYPE_CHECKING:
    from qcore.suffix.facts import LogFacts

_CURVE = 24
"""Points of an arrow's curve."""
_SHORT = 18
"""Characters of an activity that are written beside its node."""
_FEW = 20
"""Prefixes of one length below which a mean says little."""


def graph(facts: LogFacts, pairs: Sequence[tuple[int, int, int]]) -> go.Figure:
    """The directly-follows graph: activities by their mean place in a case, arrows by frequency.

    Args:
        facts: of the log.
        pairs: (a, b, times) to draw; activities that none of them names are left out.
    """
    drawn = sorted({at for a, b, _ in pairs for at in (a, b)})
    x, y = _placed([facts.activities[at].place for at in drawn])
    place = {at: (x[i], y[i]) for i, at in enumerate(drawn)}
    most = max((times for *_, times in pairs), default=1)
    figure = go.Figure()
    for a, b, times in pairs:
        across, up = _bow(place[a], place[b])
        figure.add_scatter(
            x=across.astype(np.float32),
            y=up.astype(np.float32),
            mode="lines",
            line={"width": 0.8 + 4 * times / most, "color": palette.NEUTRAL},
            opacity=0.35 + 0.5 * times / most,
            hoverinfo="skip",
            showlegend=False,
        )
    middles = [(_bow(place[a], place[b]), a, b, times) for a, b, times in pairs]
    half = _CURVE // 2
    figure.add_scatter(
        x=[float(curve[0][half]) for curve, *_ in middles],
        y=[float(curve[1][half]) for curve, *_ in middles],
        mode="markers",
        marker={
            "symbol": "triangle-up",
            "angle": [_heading(curve, half) for curve, *_ in middles],
            "size": 9,
            "color": palette.NEUTRAL,
        },
        text=[
            f"{plotly_text(facts.activities[a].name)} → {plotly_text(facts.activities[b].name)}"
            f"<br>{times:,} times"
            for _, a, b, times in middles
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    shown = [facts.activities[at] for at in drawn]
    largest = max((activity.events for activity in shown), default=1)
    figure.add_scatter(
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        mode="markers+text",
        marker={
            "size": [14 + 22 * math.sqrt(activity.events / largest) for activity in shown],
            "color": palette.run_colour(0),
            "opacity": 1,
            "line": {"width": 1.5, "color": palette.NEUTRAL},
        },
        text=[plotly_text(_cut(activity.name)) for activity in shown],
        textposition="top center",
        customdata=[
            [plotly_text(activity.name), activity.events, activity.begins, activity.ends]
            for activity in shown
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]:,} events, begins "
        "%{customdata[2]:,} cases, ends %{customdata[3]:,}<extra></extra>",
        showlegend=False,
    )
    lay_out(figure, 420, top=16)
    figure.update_xaxes(visible=False, range=[-0.7, float(x.max(initial=1)) + 0.7])
    figure.update_yaxes(
        visible=False, range=[float(y.min(initial=0)) - 0.7, float(y.max(initial=0)) + 0.9]
    )
    return figure


def case_lengths(facts: LogFacts) -> go.Figure:
    """How many cases have how many events."""
    figure = go.Figure()
    figure.add_bar(
        x=[events for events, _ in facts.lengths],
        y=[cases for _, cases in facts.lengths],
        marker_color=palette.run_colour(0),
        hovertemplate="%{y:,} cases of %{x} events<extra></extra>",
    )
    lay_out(figure, 220, top=10)
    figure.update_xaxes(title_text="events of a case")
    figure.update_yaxes(title_text="cases")
    return figure


def losses(epochs: Sequence[EpochReport]) -> go.Figure:
    """Training and validation loss, epoch by epoch."""
    figure = go.Figure()
    numbers = [epoch.number for epoch in epochs]
    for place, (name, values) in enumerate(
        {
            "training, with dropout": [epoch.training for epoch in epochs],
            "validation": [epoch.validation for epoch in epochs],
        }.items()
    ):
        figure.add_scatter(
            x=numbers,
            y=np.array(values, dtype=np.float32),
            mode="lines+markers",
            name=name,
            marker={"size": 5, "symbol": palette.SYMBOLS[place]},
            line={"color": palette.run_colour(place), "dash": palette.RUN_DASHES[place]},
            hovertemplate="epoch %{x}: %{y:.4f}<extra>%{fullData.name}</extra>",
        )
    best = [epoch for epoch in epochs if epoch.best]
    if best:
        figure.add_scatter(
            x=[best[-1].number],
            y=[best[-1].validation],
            mode="markers",
            name="kept",
            marker={
                "symbol": "circle-open",
                "size": 16,
                "color": palette.CHOSEN,
                "line": {"width": 3},
            },
            hovertemplate="kept: epoch %{x}<extra></extra>",
        )
    lay_out(figure, 300)
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(title_text="loss (nats per event)")
    return figure


def by_length(table: pd.DataFrame) -> go.Figure:
    """Similarity by length of the prefix, where there are enough prefixes to tell."""
    usual = table.loc[table["Prefixes"] >= min(_FEW, columns.numbers(table, "Prefixes").max())]
    figure = go.Figure()
    for place, name in enumerate(("Network", "Lookup", "Markov")):
        figure.add_scatter(
            x=usual["Events seen"],
            y=columns.numbers(usual, name).astype(np.float32),
            customdata=usual["Prefixes"],
            mode="lines+markers",
            name=name,
            marker={"size": 6, "symbol": palette.SYMBOLS[place]},
            line={"color": palette.run_colour(place), "dash": palette.RUN_DASHES[place]},
            hovertemplate="%{x} events seen: %{y:.3f} (%{customdata:,} prefixes)"
            "<extra>%{fullData.name}</extra>",
        )
    lay_out(figure, 320)
    figure.update_xaxes(title_text="events of the prefix")
    figure.update_yaxes(title_text="mean similarity to the true suffix")
    return figure


def attention(weights: np.ndarray, seen: Sequence[str], written: Sequence[str]) -> go.Figure:
    """Where the decoder looks: a row for each activity that it writes, a column for each seen."""
    figure = go.Figure()
    figure.add_heatmap(
        z=weights.astype(np.float32),
        x=list(range(len(seen))),
        y=list(range(len(written))),
        colorscale=palette.HEAT,
        zmin=0,
        zmax=1,
        showscale=False,
        customdata=[[[plotly_text(a), plotly_text(b)] for b in seen] for a in written],
        hovertemplate="writing %{customdata[0]}, looking at %{customdata[1]}: %{z:.2f}"
        "<extra></extra>",
    )
    lay_out(figure, 120 + 26 * len(written), top=10)
    figure.update_xaxes(
        tickvals=list(range(len(seen))),
        ticktext=[plotly_text(_cut(name)) for name in seen],
        title_text="events seen",
    )
    figure.update_yaxes(
        tickvals=list(range(len(written))),
        ticktext=[plotly_text(_cut(name)) for name in written],
        autorange="reversed",
        title_text="activity written",
    )
    return figure


def sizes(table: pd.DataFrame, label: str, lines: dict[str, float]) -> go.Figure:
    """Runs of one network by size and a metric, with intervals; baselines as lines.

    Args:
        table: as `tables.runs` makes it.
        label: the metric's column.
        lines: name → level of what every run is held against.
    """
    figure = go.Figure()
    for method in dict.fromkeys(table["method"]):
        rows = table.loc[(table["method"] == method) & table[label].notna()]
        if rows.empty:
            continue
        value = columns.numbers(rows, label)
        high, low = (columns.numbers(rows, f"{label}/{end}") for end in ("high", "low"))
        figure.add_scatter(
            x=columns.numbers(rows, "Bits per weight").astype(np.float32),
            y=value.astype(np.float32),
            mode="markers",
            name=method,
            text=list(rows["Run"]),
            marker={"size": 11, "color": palette.colour(method)},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.nan_to_num(high - value).clip(min=0),
                "arrayminus": np.nan_to_num(value - low).clip(min=0),
                "thickness": 1.3,
                "width": 3,
            },
            hovertemplate="%{text}<br>%{x:.2f} bits: %{y:.3f}<extra></extra>",
        )
    for place, (name, level) in enumerate(lines.items()):
        figure.add_hline(
            y=level,
            line={"color": palette.NEUTRAL, "width": 1.5, "dash": palette.RUN_DASHES[place]},
            annotation_text=name,
            annotation_position="bottom left",
        )
    lay_out(figure, 380)
    figure.update_xaxes(title_text="bits per quantized weight, scales and padding included")
    figure.update_yaxes(title_text=label)
    return figure


def _placed(places: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Columns by order of mean place, and rows that keep neighbours apart."""
    order = np.argsort(places, kind="stable")
    x, y = np.zeros(len(places)), np.zeros(len(places))
    column, members = 0, 0
    last = -math.inf
    for at in order:
        if places[at] - last > 0.6 or members >= 4:
            column, members, last = column + (last > -math.inf), 0, places[at]
        x[at] = column
        y[at] = (members + 1) // 2 * (1 if members % 2 else -1)
        members += 1
    return x, y + 0.35 * (x % 2)


def _bow(start: tuple[float, float], end: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A curve between two nodes; arrows back pass below those forwards, loops stand above."""
    t = np.linspace(0, 1, _CURVE + 1)
    (ax, ay), (bx, by) = start, end
    if start == end:
        turn = 2 * np.pi * t
        return ax + 0.16 * np.sin(turn), ay + 0.22 - 0.22 * np.cos(turn)
    long = math.hypot(bx - ax, by - ay)
    middle = ((ax + bx) / 2 + 0.18 * (by - ay), (ay + by) / 2 - 0.18 * (bx - ax))
    if abs(by - ay) < 1e-9 and long <= 1 and bx > ax:
        middle = ((ax + bx) / 2, ay)
    x = (1 - t) ** 2 * ax + 2 * t * (1 - t) * middle[0] + t**2 * bx
    return x, (1 - t) ** 2 * ay + 2 * t * (1 - t) * middle[1] + t**2 * by


def _heading(curve: tuple[np.ndarray, np.ndarray], at: int) -> float:
    """Degrees from upwards, clockwise, of a curve's direction."""
    dx, dy = (float(part[at + 1] - part[at - 1]) for part in curve)
    return math.degrees(math.atan2(dx, dy))


def _cut(name: str) -> str:
    return name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"
