"""The Scales page's sections: one channel's error, all channels, and what a scale does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import downloads, state
from pages._ui.figures.view import draw_figure
from pages._ui.scales import charts, tables, words
from pages._ui.scales.controls import PAGE

if TYPE_CHECKING:
    from qcore.analysis.channels import Channel, Layer, Survey


def draw_objective(layer: Layer, channel: Channel, number: int, fmt: str) -> str:
    """Draw one channel's error over its scale; return how much of the axis is drawn."""
    names = list(words.SPANS)
    name = (
        st.segmented_control(
            "Scales drawn",
            names,
            key=state.settle(PAGE, "span", names),
            format_func=lambda name: words.SPANS[name].label,
            required=True,
            label_visibility="collapsed",
        )
        or names[0]
    )
    low, high = words.limits(channel, words.SPANS[name])
    draw_figure(
        charts.objective(channel, low, high, f"{layer.name}/{number}/{fmt}/{name}"),
        key="scales.curve",
        name=f"scales-{layer.name}-{number}",
        alt=f"The output error of channel {number} of {layer.name} over its scale",
    )
    st.caption(
        "What to notice: the error is no smooth bowl. While s moves, the codes stay the same until "
        "a weight passes the middle between two grid points; between two such scales the error is "
        "one parabola, at each it jumps. PiSO visits every piece, so nothing lies below its star. "
        f"This channel has {len(channel.objective.low):,} pieces. Drag over the plot to zoom; far "
        "out, where pieces are too many, the band that they fill is drawn."
    )
    return name


def draw_survey(survey: Survey, over: str, number: int) -> None:
    """Draw all channels' errors; a click shows one."""

    def pick() -> None:
        for channel in state.clicked(st.session_state["scales.map"]):
            st.session_state["scales.channel"] = int(channel)

    draw_figure(
        charts.survey(survey, over, number),
        key="scales.map",
        name="scales-survey",
        select="points",
        on_select=pick,
        alt=f"PiSO's error against that of {words.METHODS[over]} in {len(survey.channel)} channels",
    )
    st.caption(f"Click a point to look at its channel. {words.coverage(survey, over)}")


def draw_rounded(channel: Channel) -> str:
    """Draw the weights over one method's scale; return the method."""
    names = list(words.METHODS)
    method = (
        st.segmented_control(
            "At the scale of",
            names,
            key=state.settle(PAGE, "method", names, "piso"),
            format_func=lambda name: words.METHODS[name],
            required=True,
        )
        or names[-1]
    )
    draw_figure(
        charts.rounded(channel, method),
        key="scales.histogram",
        name="scales-rounded",
        alt=f"Weights over the {words.METHODS[method]} scale, against the grid",
    )
    st.caption(
        "What to notice: a small scale makes a fine grid for the many weights in the middle and "
        "clips the few at the ends. Whether that pays depends on the inputs that those few meet."
    )
    return method


def draw_table(channel: Channel) -> None:
    """Draw the table of the three methods."""
    share = st.column_config.NumberColumn
    table = tables.method_table(channel)
    st.dataframe(
        table.assign(**{name: table[name] * 100 for name in table.columns[2:]}),
        hide_index=True,
        column_config={
            "method": "Scale by",
            "scale": share("Scale", format="%.6g"),
            "error": share("Error (%)", format="%.4g", help="‖X(w − s·q)‖² / ‖Xw‖²"),
            "captured_error": share(
                "On captured inputs (%)", format="%.4g", help="The same with H as captured"
            ),
            "clipped": share("Clipped (%)", format="%.3g", help="Of the weights"),
            "clipped_energy": share(
                "Energy they meet (%)", format="%.3g", help="Σ H_ii of their inputs, of all"
            ),
            "zero": share("Rounded to 0 (%)", format="%.3g", help="Of the weights"),
        },
    )
    left, right = st.columns(2)
    downloads.table(left.container(horizontal=True), table, "scales", "Table as CSV")
    downloads.table(
        right.container(horizontal=True),
        lambda: tables.piece_table(channel),
        "scale-pieces",
        "Pieces as CSV",
    )
