"""The Pareto figure's axes: ticks at round numbers, titles that say what is better, the layout."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from pages._ui import charts, messages, wording
from pages._ui.charts import log_ticks
from qcore.report import metrics
from qcore.report.metrics import Axis

_HEIGHT, _SMALL_HEIGHT = 520, 360
_BITS = (1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16)


def set_ticks(
    figure: go.Figure, size: Axis, x: np.ndarray, y: Sequence[float], *, logarithmic: bool
) -> None:
    """Set ticks at round numbers on the logarithmic axes."""
    low, high = float(x.min()), float(x.max())
    if size.column == "bits":
        ticks = [step for step in _BITS if low * 0.8 <= step <= high * 1.25]
        names = [f"{tick:g}" for tick in ticks]
    else:
        ticks = log_ticks(low, high)
        names = [wording.size(tick) for tick in ticks]
    figure.update_xaxes(tickvals=ticks, ticktext=names)
    if high < low * 1.1:  # left alone, plotly would give one size several decades
        figure.update_xaxes(range=[math.log10(low * 0.8), math.log10(high * 1.25)])
    if logarithmic:
        ticks = log_ticks(min(y), max(y))
        figure.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def lay_out(figure: go.Figure, size: Axis, score: Axis, *, logarithmic: bool, small: bool) -> None:
    charts.lay_out(
        figure,
        _SMALL_HEIGHT if small else _HEIGHT,
        top=56 if small else 40,
        # Left open where points are selected: in a box or lasso mode Streamlit takes no clicks.
        dragmode=False if small else None,
    )
    figure.update_xaxes(title=size.label, type="log")
    better = "higher is better" if score.higher_is_better else "lower is better"
    scale = ", log scale" if logarithmic else ""
    between = "<br>" if small else " – "  # a small figure is not as high as the words are long
    figure.update_yaxes(
        title=f"{messages.plotly_text(score.label)}{between}{better}{scale}",
        type="log" if logarithmic else "linear",
        tickformat=".0%" if metrics.is_share(score.column) else None,
    )
