"""Suffixes: do the methods hold for another kind of network? How running cases go on, quantized."""

from __future__ import annotations

import streamlit as st

from pages._ui import entry, messages, state
from pages._ui.engine import recipe_of
from pages._ui.suffix import controls, engine, view
from qcore.recipe import Recipe

entry.through_app()
st.title("Do the methods hold for another kind of network?")
st.caption(
    "A recurrent encoder–decoder reads what has happened in a case so far and writes what follows, "
    "up to the end. It is trained here, on an event log of yours or on a built-in process, and "
    "quantized with the same formats, scales and rounding as language models."
)


def open_run(name: str) -> None:
    """Choose the network of a finished run, or of a job that has no report."""
    with messages.guard():
        controls.clone(recipe_of(name)[0])


def draw_network(recipe: Recipe) -> None:
    """Draw everything about one network, as far as it has come."""
    st.header("Training")
    report = engine.report_of(recipe)
    view.draw_training(recipe, report)
    if report is None:
        return
    runs = engine.runs_of(recipe)
    st.header("Against the baselines")
    view.draw_scores(report)
    st.header("One running case")
    with messages.guard():
        view.draw_prefix(recipe, runs)
    st.header("Quantized")
    with messages.guard():
        view.draw_quantization(recipe, report, runs)


if request := state.clone_request():
    open_run(request)
with messages.guard():
    chosen = controls.choose_log()
    if chosen is not None:
        log, columns = chosen
        recipe = controls.choose_network(log, columns)
        controls.remember(log, recipe)
        with st.spinner("Reading the log …"):
            facts, notes = engine.facts(recipe), engine.notes(recipe)
        st.header("The process")
        view.draw_process(facts, notes, engine.best_possible() if not log else None)
        draw_network(recipe)
