"""Outliers: where are they, and what does a transform do to them? Drawn from cached captures."""

from __future__ import annotations

import streamlit as st

from pages._ui import entry, messages, state
from pages._ui.captures import again
from pages._ui.captures.engine import captures
from pages._ui.outliers import engine, view, words
from pages._ui.outliers.controls import PAGE, choose_capture, choose_lens, choose_place

entry.through_app()
st.title("Where are the outliers, and what does a transform do to them?")
st.caption(
    "The float network's inputs to its linear layers, as the calibration text produced them. What "
    "to notice: one loud channel sets the scale of all the others; a rotation spreads it, a "
    "rotation in blocks only within its block, and a permutation decides who shares a block."
)
with messages.guard():
    found = captures(imported=True)
    if not found:
        again.offer_any()
    else:
        capture, measure = choose_capture(found)
        places = engine.places(capture)
        place = choose_place(places, measure)
        hidden = next((at.width for at in places if at.site == "attention_input"), 0)
        lens = choose_lens(capture, place, hidden)
        state.keep(
            PAGE,
            capture=capture.key[:12],
            measure=measure,
            layer=place.block,
            site=place.site,
            rotation=lens.rotation,
            permutation=lens.permutation,
            size=lens.size,
        )
        st.caption(words.WHERE.get(place.site, ""))
        view.draw(engine.view(capture, place, lens), lens.permutation)
