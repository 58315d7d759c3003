"""Bits: which layers get how many bits, and why? Any budget is solved from cached sensitivities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import (
    bits_charts,
    bits_controls,
    bits_desk,
    bits_forecast,
    bits_pins,
    bits_view,
    downloads,
    entry,
    frames,
    services,
)
from pages._ui import bits_frames as words
from pages._ui.bits_desk import Case
from pages._ui.contests import Contest

if TYPE_CHECKING:
    from qcore.precision.table import SensitivityTable


def read_table(contest: Contest) -> SensitivityTable | None:
    """The contest's sensitivities, if the cache has them."""
    with services.guard(), st.spinner("Reading sensitivities …"):
        return bits_desk.desk().table(contest)
    return None


def choose_case(contest: Contest, score: frames.Axis, table: SensitivityTable) -> Case | None:
    """The rules, the budget, and what they give; None, said in a sentence, where they cannot be."""
    with services.guard():
        part = bits_controls.rules(contest, table)
        reach = bits_desk.assigner(contest, table, part).reach
        budget = bits_controls.choose_budget(reach, contest.part.budget)
        return bits_desk.case(contest, score, table, part, budget)
    return None


def draw_race(case: Case, shown: str) -> None:
    """Quality against average bits, measured and predicted."""
    runs, found = case.measured, case.forecast
    figure = bits_charts.quality(
        runs,
        case.score,
        words.bits_label(case.part),
        curve=bits_forecast.curve(case.solver, case.part.method, found),
        here=bits_forecast.points(case.rivals(bits_controls.SOLVED), case.budget, found),
        budget=case.budget,
        reference=frames.reference(runs, case.score),
        selected=shown,
    )
    hollow = bits_forecast.rests_on(found) if found else ""
    bits_view.race(figure, case.score, len(runs), hollow)


def draw_maps(case: Case, shown: str) -> None:
    """Who got what, and why; the layer that is framed can be pinned."""
    report = next((item for item in case.contest.budgeted if item.id == shown), None)
    formats = words.formats_of(report) if report else case.solved.formats
    pinned = set() if report else words.pinned(case.table.layers, case.part)
    wider = case.wider(words.STEP)
    st.subheader("Which layers get how many bits?", anchor=False)
    if report and report.precision and report.precision.note:
        st.info(services.escape(report.precision.note), icon=":material/info:")
    layers, costs = case.table.layers, case.costs
    bits_view.maps(
        case.contest, layers, formats, case.part, costs, None if report else wider.formats, pinned
    )
    bits_pins.form(layers, case.part, costs, formats)
    downloads.as_csv(
        st.container(),
        words.assignment_table(layers, formats, costs, pinned),
        "bits-assignment",
        "Maps as CSV",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Which projections are kept wide?", anchor=False)
        bits_view.shares(layers, formats, costs, case.part.narrow_to_wide)
    with right:
        if report:
            st.subheader("Where do the run and the solver differ?", anchor=False)
            what = f"The solution for {case.solved.bits:.2f} bits, instead of the measured run,"
            other = case.solved.formats
        else:
            st.subheader("Where does it go next?", anchor=False)
            what = f"From {case.solved.bits:.2f} to {wider.bits:.2f} bits: this"
            other = wider.formats
        table = words.moves(layers, formats, other, costs)
        bits_view.moves(table, words.moves_sentence(table, what), case.part.probe.measure)


entry.through_app()
st.title("Which layers get how many bits, and why?")
st.caption(
    "A bit budget is spent on layers: some keep 4 bits, others get 6 or 8. What to notice: how "
    "little of the network must be wide before most of the loss is gone, and that where bits go "
    "matters more than how many there are."
)
with services.guard():
    found = bits_desk.desk().contests()
    if not found:
        bits_desk.invite()
    else:
        contest, score = bits_controls.choose_contest(found)
        shown = bits_controls.shown_run(contest)
        table, case = read_table(contest), None
        if table is not None:
            case = choose_case(contest, score, table)
        if case is not None:
            bits_view.headline(words.headlines(case))
            bits_controls.submit_buttons(case)
            draw_race(case, shown)
            draw_maps(case, shown)
            rows = case.measured
        else:
            if table is None:
                bits_desk.offer_measuring(contest)
            rows = words.measured(contest.reports, (), contest.part, None)
            figure = bits_charts.quality(rows, score, "bits, as each run counts", selected=shown)
            bits_view.race(figure, score, len(rows))
        st.subheader("What was measured?", anchor=False)
        bits_view.run_table(rows)
        bits_view.training(contest.budgeted, shown)
        bits_controls.keep(contest, score, case)
