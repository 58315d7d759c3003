"""The Scales page's widgets: which layer, by which rules, which channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import downloads, state
from pages._ui.captures import controls
from pages._ui.scales import tables, words

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture
    from qcore.analysis.channels import Objective, Survey

PAGE = "scales"


def other_layer() -> None:
    """Forget the channel: another layer opens on its own most telling one."""
    state.forget(PAGE, "channel")


def choose_layer(found: list[Capture]) -> tuple[Capture, int, str]:
    """Choose a capture, a decoder block, and one of its projections."""
    from qcore.analysis.channels import LAYERS

    left, middle, right = st.columns([3, 1, 1])
    capture = controls.choose(left, found, PAGE)
    layer = middle.selectbox(
        "Layer",
        capture.blocks,
        key=state.settle(PAGE, "layer", capture.blocks),
        on_change=other_layer,
    )
    projections = list(LAYERS)
    projection = right.selectbox(
        "Projection",
        projections,
        key=state.settle(PAGE, "projection", projections),
        on_change=other_layer,
    )
    return capture, layer, projection


def choose_rules() -> tuple[str, Objective, str]:
    """Choose the grid, what the inputs are taken for, and the method to compare PiSO with."""
    from qcore.analysis.channels import GRIDS, OBJECTIVES

    left, middle, right = st.columns([2, 2, 1])
    fmt = left.selectbox(
        "Grid",
        GRIDS,
        key=state.settle(PAGE, "format", GRIDS, "int4"),
        format_func=words.format_label,
        help="Symmetric integers, and the elements of MX formats under one float scale instead of "
        "a power of two per block.",
    )
    objective = middle.selectbox(
        "Inputs taken",
        OBJECTIVES,
        key=state.settle(PAGE, "objective", OBJECTIVES),
        format_func=lambda name: words.OBJECTIVES[name],
        help="What the error is measured on, and what PiSO optimises. All alike is least weight "
        "error: no data.",
    )
    over = right.selectbox(
        "Gain over",
        ("mse", "absmax"),
        key=state.settle(PAGE, "over", ("mse", "absmax")),
        format_func=lambda name: words.METHODS[name],
    )
    return fmt, objective, over


def choose_channel(survey: Survey, over: str) -> int:
    """Choose an output channel, by its number or where PiSO gains most."""
    numbers = range(survey.of)
    key = state.settle(PAGE, "channel", numbers, survey.most(over))

    def most() -> None:
        st.session_state[key] = survey.most(over)

    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    number = left.number_input("Channel", 0, survey.of - 1, key=key, help="An output channel.")
    middle.button("Largest gain", on_click=most, icon=":material/trending_up:", width="stretch")
    downloads.table(
        right.container(horizontal=True),
        tables.survey_table(survey),
        "scale-survey",
        "Channels as CSV",
    )
    return number
