"""The Pareto page's widgets: which runs compare, by what, and how the figure is drawn."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import columns, state
from pages._ui.runs import filters, tables
from qcore.report import metrics


def choose_measured(table: pd.DataFrame) -> pd.DataFrame:
    """Choose an evaluation; return the runs that were scored on its tokens."""
    scored = list(zip(columns.words(table, "measured"), columns.words(table, "model"), strict=True))
    places = list(dict.fromkeys(scored))
    wanted = set(state.selected())
    named = (
        at for at, run in zip(scored, columns.words(table, "id"), strict=True) if run in wanted
    )
    first = places.index(next(named, places[0]))
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    place: tuple[str, str] = (
        left.selectbox(
            "Evaluated on",
            places,
            index=first,
            format_func=lambda at: f"{at[1]} – {at[0]} ({scored.count(at)})",
            help="Only runs that were scored on the same tokens can be compared.",
        )
        or places[first]
    )
    others = [model for measured, model in places if measured == place[0] and model != place[1]]
    models = [place[1]]
    if others:
        models += right.multiselect(
            "Show beside it",
            others,
            help="Other models on the same text. Perplexities of models with different "
            "tokenizers do not compare.",
        )
    return tables.comparable(table, place[0], models)


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
