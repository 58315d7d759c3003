"""Scales: why is this scale better than that one? One channel's error, drawn over its scale."""

from __future__ import annotations

import streamlit as st

from pages._ui import entry, messages, state
from pages._ui.captures import again
from pages._ui.captures.engine import captures
from pages._ui.scales import engine, words
from pages._ui.scales.controls import PAGE, choose_channel, choose_layer, choose_rules
from pages._ui.scales.view import draw_objective, draw_rounded, draw_survey, draw_table

entry.through_app()
st.title("Why is this scale better than that one?")
st.caption(
    "One output channel of one layer, one scale for all its weights, on the float network's inputs "
    "and before any transform. absmax asks for the largest weight, MSE for the least weight error, "
    "PiSO for the least error of the layer's output, which only the inputs can tell."
)
with messages.guard():
    found = captures()
    if not found:
        again.offer_any()
    else:
        capture, block, projection = choose_layer(found)
        fmt, objective, over = choose_rules()
        layer = engine.layer(capture, block, projection)
        survey = engine.survey(capture, layer, fmt, objective)
        number = choose_channel(survey, over)
        channel = engine.channel(capture, layer, fmt, objective, number)
        st.markdown(f"**{words.reason(channel)}** {words.which(survey, over, number)}")
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
            PAGE,
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
