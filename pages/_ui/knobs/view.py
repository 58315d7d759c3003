"""All comparable runs at once: lines over every knob and metric, and which knob matters.

A fragment of its own: a brush draws this part of the page alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages._ui import columns, downloads, engine, messages, state, wording
from pages._ui.figures.view import draw_figure
from pages._ui.knobs import charts
from pages._ui.knobs.engine import KL, importance_of, knobs_of
from pages._ui.knobs.lines import BITS, ParallelAxis, axis_of, narrowed
from pages._ui.runs import fields, tables
from qcore.errors import InvalidRecipe
from qcore.explore.compare import MOST_RUNS
from qcore.explore.importance import Importance
from qcore.recipe.relevance import paths
from qcore.report.metrics import metric_label

_FIGURE, _AXES, _BRUSHED = "knobs.lines", "knobs.axes", "kept.knobs.brushed"
_USUAL_AXES = 7
_TELLING = 0.1
"""A fit that foretells less of the variance of runs left out says nothing of its knobs."""


def draw_knobs(base: str) -> None:
    """Draw every run that was scored on the baseline's tokens, of the same network.

    Args:
        base: the baseline's id.
    """
    table = engine.runs(archived=True)
    mine = table.loc[table["id"] == base]
    if mine.empty:
        return
    shown = table.loc[~table["archived"] | (table["id"] == base)]
    alike = tables.comparable(shown, mine["measured"].iloc[0], [mine["model"].iloc[0]])
    st.subheader("Which knob matters?", anchor=False)
    if len(alike) < 2:
        st.info("This is the only run on these tokens.", icon=":material/info:")
        return
    with messages.guard():
        _view(alike, base)


@st.fragment
def _view(table: pd.DataFrame, base: str) -> None:
    ids = [str(run) for run in columns.words(table, "id")]
    knobs = knobs_of(ids)
    varying = fields.varying(knobs)
    measured = [name for name in tables.metrics(table) if not name.startswith("accuracy/")]
    tasks = [name for name in tables.metrics(table) if name.startswith("accuracy/")]
    try:
        told: Importance | None = importance_of(table)
        why = ""
    except InvalidRecipe as error:
        told, why = None, messages.sentence(error)
    names = [*varying, BITS, *tasks, *measured]
    chosen = st.multiselect(
        "Axes",
        names,
        default=_usual(varying, told, measured),
        format_func=_name,
        key=_AXES,
        help="Knobs in which these runs differ, size, and metrics; the last one gives the colours.",
    )
    ordered = [name for name in names if name in chosen]
    brushed = [run for run in st.session_state.get(_BRUSHED, []) if run in set(ids)]
    if ordered:
        axes = [axis_of(name, table, knobs) for name in ordered]
        titles = [str(title) for title in columns.words(table, "title")]
        draw_figure(
            charts.parallel(axes, ids, titles, brushed),
            key=_FIGURE,
            name="knobs",
            select="area",
            on_select=_brush,
            alt=f"{len(ids)} runs as lines over {len(axes)} axes",
        )
        st.caption(
            f"{wording.count(len(ids), 'run')} on the baseline's tokens, each a line; the darker, "
            f"the lower on the last axis. To brush, choose Box and draw over a part of an axis; a "
            "second brush narrows the first."
        )
        _rows(table, axes, brushed, base)
    _importance(told, why)


def _brush() -> None:
    before = st.session_state.get(_BRUSHED, [])
    st.session_state[_BRUSHED] = narrowed(before, state.clicked(st.session_state[_FIGURE]))


def _usual(varying: Sequence[str], told: Importance | None, measured: Sequence[str]) -> list[str]:
    """The knobs that matter most where that is known, size, and the telling metric last."""
    ranked = [knob.paths[0] for knob in told.knobs] if told else []
    best = [*ranked, *(path for path in varying if path not in ranked)][:_USUAL_AXES]
    last = KL if KL in measured else measured[0] if measured else ""
    return [*(path for path in varying if path in best), BITS, *([last] if last else [])]


def _name(name: str) -> str:
    if name == BITS:
        return "Bits per weight"
    return fields.label(name) if name in paths() else metric_label(name)


def _rows(
    table: pd.DataFrame, axes: Sequence[ParallelAxis], brushed: Sequence[str], base: str
) -> None:
    """The brushed runs, and the way to compare them."""
    if not brushed:
        return
    picked = table.loc[table["id"].isin(brushed)]
    rows = _table(picked, axes, knobs_of([str(run) for run in columns.words(table, "id")]))
    st.dataframe(rows, hide_index=True, height=min(38 + 35 * len(rows), 300))
    others = [run for run in columns.words(picked, "id") if run != base]
    wanted = [base, *others][:MOST_RUNS]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{wording.count(len(picked), 'run')} brushed**", width="content")
        if others and st.button(
            f"Compare {len(wanted) - 1} of them with A",
            icon=":material/compare_arrows:",
            key="knobs.compare",
            on_click=_compare,
            args=(wanted,),
            help=f"A comparison holds {MOST_RUNS} runs at most.",
        ):
            st.rerun()
        if st.button("Undo the brush", icon=":material/undo:", key="knobs.undo", on_click=_undo):
            st.rerun()
        downloads.table(st.container(horizontal=True), rows, "knobs-rows")


def _compare(runs: list[str]) -> None:
    st.session_state["compare.runs"] = runs
    state.select(runs)


def _undo() -> None:
    st.session_state.pop(_BRUSHED, None)


def _table(
    picked: pd.DataFrame, axes: Sequence[ParallelAxis], knobs: Mapping[str, Mapping[str, str]]
) -> pd.DataFrame:
    """The runs with what the axes show, sorted by the last one."""
    ids = [str(run) for run in columns.words(picked, "id")]
    rows: dict[str, list[object]] = {
        "Run": [str(title) for title in columns.words(picked, "title")]
    }
    for axis in axes:
        if axis.name == BITS or axis.name in picked.columns:
            rows[axis.label] = list(columns.numbers(picked, axis.name))
        else:
            rows[axis.label] = [knobs.get(run, {}).get(axis.name, fields.ABSENT) for run in ids]
    found = pd.DataFrame(rows)
    return found.sort_values(axes[-1].label, ignore_index=True)


def _importance(told: Importance | None, why: str) -> None:
    st.markdown("**How much of KL does each knob explain?**")
    if told is None:
        st.info(why, icon=":material/info:")
        return
    if told.foretold < _TELLING:
        st.info(
            f"Over {told.runs} runs the knobs foretell "
            f"{_percent(max(told.foretold, 0.0))} of the variance of runs left out: too little to "
            "say which matters. More runs that differ in one knob at a time would tell.",
            icon=":material/info:",
        )
        return
    draw_figure(
        charts.shares(told),
        key="knobs.shares",
        name="importance",
        alt="Share of the variance of log KL that each knob explains",
    )
    dropped = wording.enumeration([fields.label(path) for path in told.dropped])
    st.caption(
        messages.escape(
            f"Of the variance of log KL over {told.runs} runs the knobs explain "
            f"{_percent(told.explained)} (adjusted R²), and foretell {_percent(told.foretold)} of "
            "that of runs left out of the fit. A least-squares fit with one effect for each value "
            "of a knob; a knob's share is what it adds, averaged over all orders in which knobs "
            "can become known (Shapley), less what as many effects of noise would. The rest is "
            "what only pairs of knobs bring, and noise."
            + (f" Left out as less telling: {dropped}." if dropped else "")
        )
    )
    shares = pd.DataFrame(
        {
            "Knob": [" with ".join(map(fields.label, knob.paths)) for knob in told.knobs],
            "Values": [knob.values for knob in told.knobs],
            "Share %": np.round([100 * knob.share for knob in told.knobs], 1),
            "Alone %": np.round([100 * knob.alone for knob in told.knobs], 1),
        }
    )
    downloads.table(st.container(horizontal=True), shares, "knobs-shares")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
