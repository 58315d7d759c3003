"""Figures of a waterfall: techniques added one at a time, and left out one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from pages._ui import palette
from pages._ui.compare import words
from pages._ui.waterfall import tables
from qcore.explore.waterfall import StepDifference, WaterfallNumbers, step_label
from qcore.report.report import Report

_ROW, _FRAME = 40, 110
"""Pixels for a step, and for axis and margins."""

_LOOKS = {
    "better": (palette.BETTER, ""),
    "worse": (palette.WORSE, ""),
    "open": (palette.NEUTRAL, "/"),
}
"""By verdict: a colour, and the hatching of bars whose interval holds zero."""


def added(found: WaterfallNumbers, report: Report, unit: str) -> go.Figure:
    """From the plain recipe to the run: what each step takes away or adds, with its interval."""
    rows = [*found.added]
    labels = [step_label(item.step, report) for item in rows]
    figure = go.Figure()
    for verdict, (colour, hatch) in _LOOKS.items():
        picked = [
            (label, item, before)
            for label, item, before in zip(labels, rows, [None, *rows], strict=False)
            if item.gap is not None and tables.verdict(item.gap) == verdict
        ]
        if picked:
            _bars(
                figure,
                [label for label, _, _ in picked],
                [item for _, item, _ in picked],
                [before.value if before else 0.0 for _, _, before in picked],
                verdict,
                colour,
                hatch,
            )
    known = [(label, item.value) for label, item in zip(labels, rows, strict=True)]
    _marks(figure, [(label, value) for label, value in known if value is not None])
    _frame(figure, len(rows), f"{unit}; left is better", labels)
    return figure


def left_out(found: WaterfallNumbers, report: Report, unit: str) -> go.Figure:
    """What the run loses without each technique, with its interval."""
    rows = found.left_out
    labels = [step_label(item.step, report, left_out=True) for item in rows]
    figure = go.Figure()
    for verdict, (colour, hatch) in _LOOKS.items():
        picked = [
            (label, item)
            for label, item in zip(labels, rows, strict=True)
            if item.gap is not None and tables.verdict(item.gap) == verdict
        ]
        if picked:
            names, items = [label for label, _ in picked], [item for _, item in picked]
            _bars(figure, names, items, [0.0] * len(items), verdict, colour, hatch)
    _frame(figure, len(rows), f"{unit}: without it − the run; right is missed", labels)
    figure.update_xaxes(zeroline=True)
    return figure


def _bars(
    figure: go.Figure,
    labels: Sequence[str],
    items: Sequence[StepDifference],
    starts: Sequence[float | None],
    verdict: str,
    colour: str,
    hatch: str,
) -> None:
    gaps = [item.gap for item in items if item.gap is not None]
    ends = [(start or 0.0) + gap.value for start, gap in zip(starts, gaps, strict=True)]
    figure.add_bar(
        y=list(labels),
        x=[gap.value for gap in gaps],
        base=[start or 0.0 for start in starts],
        orientation="h",
        name=verdict,
        marker={
            "color": palette.translucent(colour, 0.75),
            "line": {"color": colour, "width": 1},
            "pattern": {"shape": hatch},
        },
        customdata=[f"{words.signed(g.value)} {tables.interval(g)}" for g in gaps],
        hovertemplate="%{y}: %{customdata}<extra>%{fullData.name}</extra>",
    )
    figure.add_scatter(
        y=list(labels),
        x=ends,
        mode="markers",
        marker={"size": 1, "color": palette.NEUTRAL},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [g.high - g.value if g.high is not None else 0 for g in gaps],
            "arrayminus": [g.value - g.low if g.low is not None else 0 for g in gaps],
            "thickness": 2,
            "width": 6,
            "color": palette.NEUTRAL,
        },
        showlegend=False,
        hoverinfo="skip",
    )


def _marks(figure: go.Figure, known: Sequence[tuple[str, float]]) -> None:
    """A tick where each step stands, with its value."""
    figure.add_scatter(
        y=[label for label, _ in known],
        x=[value for _, value in known],
        mode="markers",
        name="value",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": palette.NEUTRAL}},
        hovertemplate="%{y}: %{x:.4g}<extra>value</extra>",
    )


def _frame(figure: go.Figure, count: int, title: str, labels: Sequence[str]) -> None:
    figure.update_layout(
        height=_FRAME + _ROW * count,
        barmode="overlay",
        bargap=0.35,
        margin={"l": 30, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title_text=title, zeroline=False)
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        categoryorder="array",
        categoryarray=list(labels),
        range=[count - 0.5, -0.5],
    )
