"""Bits: which layers get how many bits, and why? Any budget is solved from cached sensitivities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import downloads, empty, entry, live, messages
from pages._ui.bits import charts, controls, engine, forecast, pins, view, words
from pages._ui.bits.engine import Case
from pages._ui.bits.tables import assignment_table, formats_of, measured, moves
from pages._ui.bits.words import rests_on
from pages._ui.runs import tables
from qcore.explore.groups import ComparisonGroup
from qcore.precision import problem
from qcore.report import metrics

if TYPE_CHECKING:
    from qcore.precision.table import SensitivityTable


def read_table(group: ComparisonGroup) -> SensitivityTable | None:
    """Read the runs' sensitivities, if the cache has them."""
    with messages.guard(), st.spinner("Reading sensitivities …"):
        return engine.sensitivities(group)
    return None


def choose_case(
    group: ComparisonGroup, score: metrics.Axis, table: SensitivityTable
) -> Case | None:
    """Choose rules and a budget, and solve; None, with a sentence, where that is impossible."""
    with messages.guard():
        part = controls.rules(group, table)
        reach = engine.assigner(group, table, part).reach
        budget = controls.choose_budget(reach, group.part.budget)
        return engine.case(group, score, table, part, budget)
    return None


def draw_race(case: Case, shown: str, more: str) -> None:
    """Draw quality against average bits, measured and predicted."""
    runs, found = case.measured, case.forecast
    figure = charts.quality(
        runs,
        case.score,
        words.bits_label(case.part),
        curve=engine.curve(case),
        here=forecast.points(case.rivals(controls.SOLVED), case.budget, found),
        budget=case.budget,
        reference=tables.reference(runs, case.score),
        selected=shown,
    )
    hollow = rests_on(found) if found else ""
    view.race(figure, case.score, len(runs), more, hollow)


def draw_maps(case: Case, shown: str) -> None:
    """Draw the assignment and its reasons; the framed layer can be pinned."""
    report = engine.report_of(shown) if shown != controls.SOLUTION else None
    formats = formats_of(report) if report else case.solved.formats
    pinned = set() if report else problem.pinned(case.table.layers, case.part)
    wider = case.wider(words.STEP)
    st.subheader("Which layers get how many bits?", anchor=False)
    if report and report.precision and report.precision.note:
        st.info(messages.escape(report.precision.note), icon=":material/info:")
    layers, costs = case.table.layers, case.costs
    view.draw_maps(
        case.group, layers, formats, case.part, costs, None if report else wider.formats, pinned
    )
    pins.form(layers, case.part, costs, formats)
    downloads.table(
        st.container(horizontal=True),
        assignment_table(layers, formats, costs, pinned),
        "bits-assignment",
        "Maps as CSV",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Which projections are kept wide?", anchor=False)
        view.shares(layers, formats, costs, case.part.narrow_to_wide)
    with right:
        if report:
            st.subheader("Where do the run and the solver differ?", anchor=False)
            what = f"The solution for {case.solved.bits:.2f} bits, instead of the measured run,"
            other = case.solved.formats
        else:
            st.subheader("Where does it go next?", anchor=False)
            what = f"From {case.solved.bits:.2f} to {wider.bits:.2f} bits: this"
            other = wider.formats
        table = moves(layers, formats, other, costs)
        view.moves(table, words.moves_sentence(table, what), case.part.probe.measure)


entry.through_app()
st.title("Which layers get how many bits, and why?")
st.caption(
    "A bit budget is spent on layers: some keep 4 bits, others get 6 or 8. What to notice: how "
    "little of the network must be wide before most of the loss is gone, and that where bits go "
    "matters more than how many there are."
)
with messages.guard():
    live.follow(redraw=not engine.groups())
    found = engine.groups()
    if not found:
        empty.budgets(engine.demo_recipe)
    else:
        group, score = controls.choose_group(found)
        more = controls.elsewhere(found, group)
        shown = controls.shown_run(group)
        table, case = read_table(group), None
        if table is not None:
            case = choose_case(group, score, table)
        if case is not None:
            view.headline(words.headlines(case))
            controls.submit_buttons(case)
            draw_race(case, shown, more)
            draw_maps(case, shown)
            rows = case.measured
        else:
            if table is None:
                view.offer_measuring(group)
            rows = measured(group.runs, {}, (), group.part, None)
            figure = charts.quality(rows, score, "bits, as each run counts", selected=shown)
            view.race(figure, score, len(rows), more)
        st.subheader("What was measured?", anchor=False)
        view.run_table(rows)
        view.training(group.budgeted, shown)
        controls.keep(group, score, case)
