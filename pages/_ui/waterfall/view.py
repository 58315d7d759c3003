"""The waterfall's section of the Compare page: drawn as far as it is known, and filled in live.

A fragment of its own looks for news while jobs are on their way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages._ui import downloads, live, messages, wording
from pages._ui.compare import words
from pages._ui.figures.view import draw_figure
from pages._ui.form import summary
from pages._ui.waterfall import charts, engine, sentences, tables
from qcore.errors import QuantscopeError
from qcore.explore.waterfall import Waterfall, WaterfallStep, metrics_of
from qcore.jobs.protocol import Job
from qcore.recipe.titles import short_title_of
from qcore.report.report import Report

_UNIT = "nats per token"


def draw_waterfall(reports: Sequence[Report]) -> None:
    """Draw one run's waterfall: what it is, what it is worth, what is missing.

    Args:
        reports: the compared runs, the baseline first.
    """
    st.subheader("What is each technique worth?", anchor=False)
    offered: dict[str, tuple[Report, Waterfall]] = {}
    refusals = []
    for letter, report in zip(words.LETTERS, reports, strict=False):
        try:
            offered[letter] = (report, engine.waterfall(report))
        except QuantscopeError as error:
            refusals.append(error)
    if not offered:
        st.info(messages.sentence(refusals[-1]), icon=":material/info:")
        return
    letters = list(offered)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        later = [letter for letter in letters if letter != words.LETTERS[0]]
        letter = st.segmented_control(
            "Waterfall of",
            letters,
            default=[*later, *letters][0],
            required=True,
            key="waterfall",
            bind="query-params",
        )
        report, waterfall = offered.get(letter) or next(iter(offered.values()))
        known = metrics_of(report)
        if not known:
            st.info("No window of text was scored, so nothing can be said.")
            return
        metric = st.segmented_control(
            "Of",
            known,
            default=known[0],
            required=True,
            format_func=words.metric_name,
            key="compare.waterfall.of",
        )
    missing = waterfall.missing(engine.stand_ins_of(waterfall, report))
    moving = _moving(missing)
    chosen = metric if metric in known else known[0]
    st.fragment(_view, run_every=live.POLL_SECONDS if moving else None)(
        report, waterfall, chosen, moving
    )


def _moving(missing: Sequence[WaterfallStep]) -> bool:
    return any(not job.state.ended for job in engine.jobs_of(missing).values())


def _view(report: Report, waterfall: Waterfall, metric: str, moving: bool) -> None:
    with messages.guard():
        runs = engine.stand_ins_of(waterfall, report)
        missing = waterfall.missing(runs)
        if moving and not _moving(missing):
            st.rerun()  # the last one ended: the page need not look for news any more
        reports = engine.reports_of(report, runs)
        found = engine.numbers(waterfall, runs, reports, metric)
        jobs = engine.jobs_of(missing)
        unit = f"{words.metric_name(metric)} ({_UNIT})"
        draw_figure(
            charts.added(found, report, unit),
            key="waterfall.added",
            name=f"waterfall-{metric}",
            alt=f"{words.metric_name(metric)} with techniques added one at a time",
        )
        if any(item.gap for item in found.left_out):
            draw_figure(
                charts.left_out(found, report, unit),
                key="waterfall.left_out",
                name=f"left-out-{metric}",
                alt=f"{words.metric_name(metric)} with techniques left out one at a time",
            )
        said = sentences.findings(found, report)
        st.caption(
            messages.escape(f"{said} {sentences.ORDER}".strip())
            + f" Bars are 95 % intervals over {wording.count(found.windows, 'window')}, paired; "
            "hatched bars hold zero."
        )
        table = tables.steps(found, report, reports, jobs)
        st.dataframe(table, hide_index=True, height="content")
        downloads.table(st.container(horizontal=True), table, "waterfall-steps")
        if missing:
            _missing(report, waterfall, missing, jobs)


def _missing(
    report: Report,
    waterfall: Waterfall,
    missing: Sequence[WaterfallStep],
    jobs: Mapping[str, Job],
) -> None:
    """Name and price what nobody has run, and offer to run it."""
    recipes = [step.recipe for step in missing]
    if engine.changed(waterfall, report):
        st.warning(
            "Steps measured since read other contents of the same text or model. Measure the run "
            "itself again, too, and look at the waterfall of the new run.",
            icon=":material/info:",
        )
        recipes = [report.recipe, *recipes]
    cost = engine.price([step.recipe for step in missing])
    st.markdown(f"**{wording.count(len(missing), 'step')} missing**")
    st.dataframe(tables.missing(missing, cost.each, jobs), hide_index=True, height="content")
    if cost.refusal:
        st.error(messages.escape(cost.refusal), icon=":material/block:")
        return
    asked = [step for step in missing if not _is_live(jobs.get(step.recipe.digest))]
    st.caption(messages.escape(sentences.price(cost, len(missing))))
    if asked and st.button(
        f"Run {wording.count(len(asked), 'missing step')}",
        icon=":material/play_arrow:",
        key="waterfall.run",
        help="Queues them as one sweep; what they share with finished runs comes from the cache, "
        "and the figure fills in as they finish.",
    ):
        left = {step.essence for step in asked}
        chosen = [recipe for recipe in recipes if recipe == report.recipe]
        chosen += [step.recipe for step in missing if step.essence in left]
        summary.queue(chosen, name=f"Waterfall of {_title(report)}")
        st.rerun()


def _title(report: Report) -> str:
    return short_title_of(report.recipe).replace("\u00a0", " ")


def _is_live(job: Job | None) -> bool:
    return job is not None and not job.state.ended
