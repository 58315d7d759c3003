"""Scales: why is this scale better than that one? One channel's error, drawn over its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import downloads, entry, messages, state
from pages._ui.captures import choice, view
from pages._ui.charts import config
from pages._ui.scales import charts, engine, tables, words

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture
    from qcore.analysis.channels import Channel, Layer, Objective, Survey

_PAGE = "scales"


def other_layer() -> None:
    """Another layer has other channels: let its own most telling one be shown."""
    state.forget(_PAGE, "channel")


def choose_layer(found: list[Capture]) -> tuple[Capture, int, str]:
    """A capture, a decoder block, and one of its projections."""
    from qcore.analysis.channels import LAYERS

    left, middle, right = st.columns([3, 1, 1])
    capture = choice.choose(left, found, _PAGE)
    layer = middle.selectbox(
        "Layer",
        capture.blocks,
        key=state.settle(_PAGE, "layer", capture.blocks),
        on_change=other_layer,
    )
    projections = list(LAYERS)
    projection = right.selectbox(
        "Projection",
        projections,
        key=state.settle(_PAGE, "projection", projections),
        on_change=other_layer,
    )
    return capture, layer, projection


def choose_rules() -> tuple[str, Objective, str]:
    """The grid, what the inputs are taken for, and the method to compare PiSO with."""
    from qcore.analysis.channels import GRIDS, OBJECTIVES

    left, middle, right = st.columns([2, 2, 1])
    fmt = left.selectbox(
        "Grid",
        GRIDS,
        key=state.settle(_PAGE, "format", GRIDS, "int4"),
        format_func=words.format_label,
        help="Symmetric integers, and the elements of MX formats under one float scale instead of "
        "a power of two per block.",
    )
    objective = middle.selectbox(
        "Inputs taken",
        OBJECTIVES,
        key=state.settle(_PAGE, "objective", OBJECTIVES),
        format_func=lambda name: words.OBJECTIVES[name],
        help="What the error is measured on, and what PiSO optimises. All alike is least weight "
        "error: no data.",
    )
    over = right.selectbox(
        "Gain over",
        ("mse", "absmax"),
        key=state.settle(_PAGE, "over", ("mse", "absmax")),
        format_func=lambda name: words.METHODS[name],
    )
    return fmt, objective, over


def choose_channel(survey: Survey, over: str) -> int:
    """An output channel, by its number or where PiSO gains most."""
    numbers = range(survey.of)
    key = state.settle(_PAGE, "channel", numbers, survey.most(over))

    def most() -> None:
        st.session_state[key] = survey.most(over)

    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    number = left.number_input("Channel", 0, survey.of - 1, key=key, help="An output channel.")
    middle.button("Largest gain", on_click=most, icon=":material/trending_up:", width="stretch")
    downloads.as_csv(right, tables.survey_table(survey), "scale-survey", "Channels as CSV")
    return number


def draw_objective(layer: Layer, channel: Channel, number: int, fmt: str) -> str:
    """The picture that explains the method; returns how much of the axis is drawn."""
    names = list(words.SPANS)
    name = (
        st.segmented_control(
            "Scales drawn",
            names,
            key=state.settle(_PAGE, "span", names),
            format_func=lambda name: words.SPANS[name].label,
            required=True,
            label_visibility="collapsed",
        )
        or names[0]
    )
    low, high = words.limits(channel, words.SPANS[name])
    st.plotly_chart(
        charts.objective(channel, low, high, f"{layer.name}/{number}/{fmt}/{name}"),
        key="scales.curve",
        config=config(f"scales-{layer.name}-{number}"),
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
    """All channels; a click shows one."""

    def pick() -> None:
        for channel in state.clicked(st.session_state["scales.map"]):
            st.session_state["scales.channel"] = int(channel)

    st.plotly_chart(
        charts.survey(survey, over, number),
        key="scales.map",
        on_select=pick,
        selection_mode="points",
        config=config("scales-survey"),
        alt=f"PiSO's error against that of {words.METHODS[over]} in {len(survey.channel)} channels",
    )
    st.caption(f"Click a point to look at its channel. {words.coverage(survey, over)}")


def draw_rounded(channel: Channel) -> str:
    """What a scale does to the weights; returns whose is shown."""
    names = list(words.METHODS)
    method = (
        st.segmented_control(
            "At the scale of",
            names,
            key=state.settle(_PAGE, "method", names, "piso"),
            format_func=lambda name: words.METHODS[name],
            required=True,
        )
        or names[-1]
    )
    st.plotly_chart(
        charts.rounded(channel, method),
        key="scales.histogram",
        config=config("scales-rounded"),
        alt=f"Weights over the {words.METHODS[method]} scale, against the grid",
    )
    st.caption(
        "What to notice: a small scale makes a fine grid for the many weights in the middle and "
        "clips the few at the ends. Whether that pays depends on the inputs that those few meet."
    )
    return method


def draw_table(channel: Channel) -> None:
    """The three methods in numbers."""
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
    downloads.as_csv(left, table, "scales", "Table as CSV")
    downloads.as_csv(right, lambda: tables.piece_table(channel), "scale-pieces", "Pieces as CSV")


entry.through_app()
st.title("Why is this scale better than that one?")
st.caption(
    "One output channel of one layer, one scale for all its weights, on the float network's inputs "
    "and before any transform. absmax asks for the largest weight, MSE for the least weight error, "
    "PiSO for the least error of the layer's output, which only the inputs can tell."
)
with messages.guard():
    found = choice.captures()
    if not found:
        view.invite()
    else:
        capture, block, projection = choose_layer(found)
        fmt, objective, over = choose_rules()
        layer = engine.layer(capture, block, projection)
        survey = engine.survey(capture, layer, fmt, objective)
        number = choose_channel(survey, over)
        channel = engine.channel(capture, layer, fmt, objective, number)
        st.markdown(f"**{words.reason(channel)}**")
        main, aside = st.columns([3, 2], gap="large")
        with main:
            span = draw_objective(layer, channel, number, fmt)
        with aside:
            draw_survey(survey, over, number)
        main, aside = st.columns([3, 2], gap="large")
        with main:
            method = draw_rounded(channel)
        with aside:
            draw_table(channel)
        state.keep(
            _PAGE,
            capture=capture.key[:12],
            layer=block,
            projection=projection,
            format=fmt,
            objective=objective,
            over=over,
            channel=number,
            span=span,
            method=method,
        )
