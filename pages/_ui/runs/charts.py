"""The Pareto figure: runs as points between size and quality, and the front through them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages._ui import columns, messages, palette, wording
from pages._ui.charts import ERROR_BARS_UP_TO, RIM, WEBGL_FROM, covered, error_bars, explain, ring
from pages._ui.runs.axes import lay_out, set_ticks
from pages._ui.runs.words import bars_label
from qcore.explore import front
from qcore.report.metrics import Axis

FULL_HOVER_UP_TO = 500
"""Beyond this many points a hover shows the run's title and place; the table has the rest."""

LABELS_UP_TO = 10

_TEMPLATE = "%{text}<extra></extra>"
_PLAIN_TEMPLATE = "<b>%{text}</b><br>%{x:.4g} · %{y:.4g}<extra></extra>"


def pareto(
    table: pd.DataFrame,
    size: Axis,
    score: Axis,
    *,
    reference: float = math.nan,
    logarithmic: bool = False,
    selected: Collection[str] = (),
    small: bool = False,
    by: str = "method",
) -> go.Figure:
    """Draw runs by size and score, the front through the best, and the float model as a line.

    Args:
        table: rows of `tables.runs` that were scored on the same tokens.
        size: what runs along x.
        score: what runs along y; its interval, where there is one, becomes the error bar.
        reference: the float model's score; NaN draws no line.
        logarithmic: a logarithmic y axis.
        selected: ids that get a ring.
        small: for a corner of a page: no labels.
        by: the column whose values group and colour the points.
    """
    figure = go.Figure()
    table = _drawable(table, score, logarithmic=logarithmic)
    x, y = columns.numbers(table, size.column), columns.numbers(table, score.column)
    groups = _groups(table, by)
    models = {model for _, model in groups}
    # Colours alone would part the methods for those alone who see them.
    shapes = (
        palette.symbols(sorted(models))
        if len(models) > 1
        else palette.shapes([value for value, _ in groups], methods=by == "method")
    )
    colours = palette.colours([value for value, _ in groups], methods=by == "method")
    _draw_front(figure, table, x, y, score, labels=not small)
    # As arrays of characters: plotly copies every object of an array of them, for each figure.
    ids, titles = (columns.words(table, name).astype(str) for name in ("id", "title"))
    many, full = len(table) > WEBGL_FROM, len(table) <= FULL_HOVER_UP_TO
    trace = go.Scattergl if many else go.Scatter
    barred = len(table) <= ERROR_BARS_UP_TO
    under = covered(x, y, groups.values()) if barred else np.zeros(len(table))
    for (value, model), part in groups.items():
        group = table.iloc[part] if full or barred else table
        figure.add_trace(
            trace(
                x=x[part].astype(np.float32),
                y=y[part].astype(np.float32),
                error_y=error_bars(group, score, colours[value]) if barred else None,
                mode="markers",
                name=messages.plotly_text(value if len(models) == 1 else f"{value} · {model}"),
                customdata=ids[part],
                text=np.asarray(_hover(group, score), dtype=object) if full else titles[part],
                marker={
                    "color": colours[value],
                    "symbol": shapes[model if len(models) > 1 else value],
                    "size": (8 if small or not barred else 11) + RIM * under[part],
                    "opacity": 0.55 if many else 0.9,
                },
                hovertemplate=_TEMPLATE if full else _PLAIN_TEMPLATE,
            )
        )
    ringed = np.isin(ids, list(selected)) if selected else np.zeros(len(ids), dtype=bool)
    if ringed.any():
        figure.add_trace(ring(x[ringed], y[ringed], "selected"))
    line = [reference] if math.isfinite(reference) and (reference > 0 or not logarithmic) else []
    if line:
        _draw_reference(figure, reference, logarithmic=logarithmic)
    intervals = barred and bool(np.isfinite(_lows(table, score)).any())
    explain(figure, bars_label(score) if intervals else "", rims=bool(under.any()))
    lay_out(figure, size, score, logarithmic=logarithmic, small=small)
    if len(table):
        set_ticks(figure, size, x, [*y.tolist(), *line], logarithmic=logarithmic)
    return figure


def _draw_front(
    figure: go.Figure,
    table: pd.DataFrame,
    x: np.ndarray,
    y: np.ndarray,
    score: Axis,
    *,
    labels: bool,
) -> None:
    best = front.front(x, y, higher_is_better=score.higher_is_better)
    if not len(best):
        return
    labelled = labels and len(best) <= LABELS_UP_TO
    text = _labels(table.iloc[best], x[best], y[best]) if labelled else []
    places = _label_places(x[best], text, score) if labelled else []
    figure.add_trace(
        go.Scatter(
            x=x[best].astype(np.float32),
            y=y[best].astype(np.float32),
            mode="lines",
            line={"color": palette.NEUTRAL, "width": 2, "shape": "hv"},
            name="front",
            legendgroup="front",
            hoverinfo="skip",
        )
    )
    if labelled:
        figure.add_trace(
            go.Scatter(
                x=x[best].astype(np.float32),
                y=y[best].astype(np.float32),
                mode="markers+text",
                text=_clear(text, places, x[best]),
                textposition=places,
                textfont={"size": 11},
                marker={"size": 16, "opacity": 0},  # keeps the text off the line and the point
                name="labels of the front",
                legendgroup="front",
                showlegend=False,
                hoverinfo="skip",
                cliponaxis=False,
            )
        )


def _labels(points: pd.DataFrame, x: np.ndarray, y: np.ndarray) -> list[str]:
    """Titles for the points of a front, left out where they would cover the one before."""
    across, up = np.log(x), np.log(np.maximum(np.abs(y), 1e-12))
    labels, at = [], -1
    for place, short in enumerate(columns.words(points, "short")):
        lines = textwrap.wrap(short, _LABEL_LETTERS, break_long_words=False)
        width = _LETTER_WIDTH * max(map(len, lines))
        near = at >= 0 and (
            across[place] - across[at] < width * max(np.ptp(across), 1e-9)
            and abs(up[place] - up[at]) < _LINE_HEIGHT * len(lines) * max(np.ptp(up), 1e-9)
        )
        # A no-break space on either side keeps the text clear of the marker.
        padded = (f"\u00a0\u00a0{line}\u00a0\u00a0\u00a0" for line in lines)
        labels.append("" if near else "<br>".join(padded))
        at = at if near else place
    return labels


def _draw_reference(figure: go.Figure, value: float, *, logarithmic: bool) -> None:
    """Draw a dotted line across; on a logarithmic axis its label stands at the logarithm."""
    figure.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        y0=value,
        y1=value,
        line={"color": palette.NEUTRAL, "width": 1.5, "dash": "dot"},
        layer="below",  # labels of the front stand above it
    )
    figure.add_annotation(
        xref="paper",
        x=0,
        xanchor="left",
        y=math.log10(value) if logarithmic else value,
        yanchor="bottom",
        showarrow=False,
        text=f"float model {wording.significant(value)}",
        font={"size": 12},
    )


def _hover(group: pd.DataFrame, score: Axis) -> list[str]:
    """Hover texts: a run's title, model, score, size, device, time and id."""
    low, high = f"{score.column}/low", f"{score.column}/high"
    lines = []
    for row in group.to_dict("records"):
        span = wording.interval(row.get(low), row.get(high))
        others = [
            f"{axis} {wording.significant(row[key])}"
            for key, axis in (
                ("perplexity", "perplexity"),
                ("kl", "KL"),
                ("top1_agreement", "top-1 agreement"),
            )
            if key != score.column and key in row and math.isfinite(row[key])
        ]
        lines.append(
            f"<b>{messages.plotly_text(row['title'])}</b><br>"
            f"{messages.plotly_text(row['model'])}<br>"
            f"{messages.plotly_text(score.label)}: <b>{wording.significant(row[score.column])}</b>"
            f"{'' if span == '–' else ' ' + span}<br>"
            f"{row['bits']:.3f} bits per weight · {wording.size(row['bytes'])}<br>"
            + (" · ".join(others) + "<br>" if others else "")
            + f"{messages.plotly_text(row['device'])} · {wording.duration(row['seconds'])} · "
            + row["id"]
        )
    return lines


def _groups(table: pd.DataFrame, by: str) -> dict[tuple[str, str], np.ndarray]:
    """(value, model) → where its runs stand in the table, sorted."""
    found: dict[Any, np.ndarray] = table.groupby([by, "model"], sort=True).indices
    return found


def _lows(table: pd.DataFrame, score: Axis) -> np.ndarray:
    name = f"{score.column}/low"
    return columns.numbers(table, name) if name in table.columns else np.full(len(table), math.nan)


def _drawable(table: pd.DataFrame, score: Axis, *, logarithmic: bool) -> pd.DataFrame:
    """The runs that have the score, and can stand on the axis."""
    y = columns.numbers(table, score.column)
    usable = np.isfinite(y) & (y > 0) if logarithmic else np.isfinite(y)
    return table if usable.all() else table.loc[usable]


def _clear(labels: Sequence[str], places: Sequence[str], x: np.ndarray) -> list[str]:
    """The labels, without those on the right that the front's next step would strike through."""
    across = np.log(x)
    reach = max(np.ptp(across), 1e-9)
    kept = []
    for at, (label, place) in enumerate(zip(labels, places, strict=True)):
        width = _LETTER_WIDTH * max(map(len, label.split("<br>"))) * reach
        struck = at + 1 < len(x) and across[at + 1] - across[at] < width
        kept.append("" if struck and place.endswith("right") else label)
    return kept


def _label_places(x: np.ndarray, labels: Sequence[str], score: Axis) -> list[str]:
    """On the empty side of the front: left of its points, unless the axis is too near."""
    vertical = "top" if score.higher_is_better else "bottom"
    across = np.log(x) - np.log(x[0])
    reach = max(across[-1], 1e-9)
    widths = (_LETTER_WIDTH * max(map(len, label.split("<br>"))) * reach for label in labels)
    return [
        f"{vertical} {'left' if at >= width or at == reach else 'right'}"
        for at, width in zip(across, widths, strict=True)
    ]


_LABEL_LETTERS = 20
"""Longer labels are broken into lines."""

_LETTER_WIDTH, _LINE_HEIGHT = 0.009, 0.055
"""Shares of the drawn range that a letter and a line of a label cover."""
