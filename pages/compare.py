"""Compare: why is B better than A, and where does it hurt? Runs against a baseline, in pairs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import columns, empty, engine, entry, live, messages, state
from pages._ui.compare import hurt, kept, texts, view, words
from pages._ui.knobs.view import draw_knobs
from pages._ui.runs import evaluations
from pages._ui.waterfall.view import draw_waterfall
from qcore.errors import QuantscopeError
from qcore.explore import compare
from qcore.report.report import Report

_PAGE = "compare"


def choose_runs(ids: list[str], labels: dict[str, str]) -> tuple[list[str], str]:
    """The compared runs, the baseline first, and the baseline."""
    asked = [run for run in state.selected() if run in labels]
    for lost in (run for run in state.selected() if run not in labels):
        st.warning(f"There is no run {messages.escape(lost[:40])} here.", icon=":material/info:")
    if len(asked) > compare.MOST_RUNS:
        st.warning(
            f"{len(asked)} runs are named; the first {compare.MOST_RUNS} are compared.",
            icon=":material/info:",
        )
    st.session_state.setdefault("compare.runs", asked[: compare.MOST_RUNS])
    left, right = st.columns([3, 1])
    chosen = left.multiselect(
        "Runs",
        ids,
        key="compare.runs",
        max_selections=compare.MOST_RUNS,
        format_func=labels.__getitem__,
        placeholder=f"Choose a baseline and up to {compare.MOST_RUNS - 1} others",
    )
    state.select(chosen)
    base = ""
    pinned = engine.run_table().baselines(chosen)
    if chosen:
        base = right.selectbox(
            "Baseline (A)",
            chosen,
            key=state.settle(_PAGE, "base", chosen, next(iter(pinned), None)),
            format_func=labels.__getitem__,
            help="Every other run is held against this one.",
        )
        state.keep(_PAGE, base=base)
    return [base, *(run for run in chosen if run != base)] if chosen else [], base


def _labels(table: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """All runs, and labels that tell them apart: with the evaluation where there are several."""
    ids = list(columns.words(table, "id"))
    several = len(evaluations.found_in(table)) > 1
    told = engine.run_table().titles(table)
    scored = columns.words(table, "measured") if several else [""] * len(ids)
    parts = zip(told, scored, (run[:6] for run in ids), strict=True)
    return ids, dict(zip(ids, (" · ".join(filter(None, each)) for each in parts), strict=True))


def read(runs: list[str]) -> list[Report]:
    """The chosen reports; one that cannot be read is said and left out."""
    found = []
    for run in runs:
        try:
            found.append(engine.index().get(run))
        except QuantscopeError as error:
            st.error(messages.sentence(error), icon=":material/error:")
    return found


def draw(reports: list[Report]) -> None:
    """Every section over comparable runs."""
    if len(reports) < 2:
        return
    alike, refused = compare.separate(reports)
    view.refusals(reports, refused)
    if len(alike) < 2:
        return
    found = kept.compared(alike)
    view.verdicts(alike, found)
    view.forest(alike, found)
    hurt.statistics(alike)
    hurt.draw(alike)
    texts.draw(alike)
    view.knobs(alike)
    view.layers(compare.layers(alike))
    draw_waterfall(alike)


entry.through_app()
st.title("Why is B better than A, and where does it hurt?")
st.caption(
    "Runs on the same windows, held against a baseline pair by pair. What to notice: intervals "
    "that leave zero out; two runs can be told apart although their own intervals overlap."
)
with messages.guard():
    live.follow(redraw=len(engine.index().summaries()) < 2)
    table = engine.runs(archived=True)
    if table.empty:
        empty.runs()
    else:
        runs, base = choose_runs(*_labels(table))
        if len(runs) < 2:
            st.info(
                "Choose two runs or more, here or on the Pareto page: the first is the baseline, "
                f"{words.LETTERS[0]}.",
                icon=":material/compare_arrows:",
            )
            if runs:
                draw_waterfall(read(runs))
        else:
            draw(read(runs))
        if base:
            draw_knobs(base)
