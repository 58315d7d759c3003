"""The Pareto page's widgets: by what runs compare, and how the figure is drawn."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui.runs import filters, tables
from qcore.report import metrics


def choose_axes(table: pd.DataFrame) -> tuple[metrics.Axis, metrics.Axis, bool, bool, str]:
    """Choose size, quality, a log axis, whether runs that broke are drawn, and the colours."""
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    with left:
        size = st.segmented_control(
            "Size",
            list(metrics.SIZES),
            default="bits",
            required=True,
            format_func=lambda name: {"bits": "Bits per weight", "bytes": "Bytes"}[name],
            key="x",
            bind="query-params",
        )
    with middle:
        scores = tables.metrics(table)
        score = st.selectbox(
            "Quality",
            scores,
            index=scores.index(tables.telling(scores)),
            format_func=metrics.metric_label,
            key="y",
            bind="query-params",
        )
    axis = metrics.quality(score)
    with right.popover("Display", icon=":material/settings:", width="stretch"):
        log = st.toggle("Logarithmic quality axis", value=axis.logarithmic, key=f"log-{score}")
        pieces = st.toggle(
            "Runs that broke",
            help="Runs at more than 30 times the float model's perplexity (3.4 nats per token): "
            "they would flatten all others.",
        )
        colour = filters.choose_colour(table)
    return metrics.SIZES[size], axis, log, pieces, colour
