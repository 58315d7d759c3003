"""What a waterfall asks of the engine, kept for the next click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pages._ui import engine
from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.explore.waterfall import (
    Waterfall,
    WaterfallNumbers,
    WaterfallStep,
    measure,
    stand_ins,
    was_changed,
    waterfall_of,
)
from qcore.jobs.protocol import Job
from qcore.machine.home import home
from qcore.recipe import Recipe
from qcore.report.report import Report

_PRICED_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Price:
    """What missing steps cost.

    Attributes:
        each: seconds of each, run in this order; None where unknown.
        told: as `Preview` has them: all steps' seconds, or None; stages, cached and shared ones.
        refusal: why they cannot be run, in a sentence; empty where they can.
    """

    each: tuple[float | None, ...] = ()
    seconds: float | None = None
    timed: float = 0.0
    untimed: tuple[str, ...] = ()
    stages: int = 0
    cached: int = 0
    shared: int = 0
    refusal: str = ""


def waterfall(report: Report) -> Waterfall:
    """The steps of a run. Raises InvalidRecipe where it has none."""
    found = _waterfall(report.id, report.created, report)
    if isinstance(found, InvalidRecipe):
        raise found
    return found


def stand_ins_of(waterfall: Waterfall, report: Report) -> dict[str, str]:
    """The runs that stand for the steps, by essence; looked for whenever a run came or went."""
    index = engine.index()
    return _stand_ins(home(), (report.id, report.created), index.stamp, waterfall, report)


def changed(waterfall: Waterfall, report: Report) -> bool:
    """Whether newer runs of the steps read other contents than the run."""
    return was_changed(waterfall, report, engine.index().summaries())


def reports_of(report: Report, runs: Mapping[str, str]) -> dict[str, Report]:
    """The reports of these runs by id; those that cannot be read are left out."""
    found = {report.id: report}
    for run in set(runs.values()) - {report.id}:
        try:
            found[run] = engine.index().get(run)
        except QuantscopeError:  # it counts as missing; the table of runs says why
            continue
    return found


def numbers(
    waterfall: Waterfall, runs: Mapping[str, str], reports: Mapping[str, Report], metric: str
) -> WaterfallNumbers:
    """What each step is worth; resampled once."""
    marks = tuple((run, item.created) for run, item in reports.items())
    key = (waterfall.run, *sorted(runs.items()))
    return _numbers(home(), key, marks, metric, waterfall, runs, reports)


def jobs_of(steps: Sequence[WaterfallStep]) -> dict[str, Job]:
    """The newest job of each step that has one, by its recipe's digest."""
    if not steps:
        return {}
    wanted = {step.recipe.digest for step in steps}
    found: dict[str, Job] = {}
    for job in engine.backend().jobs():
        if not job.ensure and job.recipe.digest in wanted:
            found.setdefault(job.recipe.digest, job)
    return found


def price(recipes: Sequence[Recipe]) -> Price:
    """What running these would take, looked at anew every few seconds."""
    digests = tuple(recipe.digest for recipe in recipes)
    return _price(home(), digests, engine.index().stamp, recipes)


@st.cache_resource(max_entries=64, show_spinner=False)
def _waterfall(run: str, created: float, _report: Report) -> Waterfall | InvalidRecipe:
    del run, created  # name the answer: an id is made of the recipe
    try:
        return waterfall_of(_report)
    except InvalidRecipe as error:
        return error


@st.cache_resource(max_entries=64, show_spinner=False)
def _stand_ins(
    root: Path, key: tuple[str, float], stamp: int, _waterfall: Waterfall, _report: Report
) -> dict[str, str]:
    del root, key, stamp  # name the answer
    return stand_ins(_waterfall, _report, engine.index().summaries())


@st.cache_resource(max_entries=64, show_spinner=False)
def _numbers(
    root: Path,
    key: tuple[object, ...],
    marks: tuple[tuple[str, float], ...],
    metric: str,
    _waterfall: Waterfall,
    _runs: Mapping[str, str],
    _reports: Mapping[str, Report],
) -> WaterfallNumbers:
    del root, key, marks  # name the answer
    return measure(_waterfall, _runs, _reports, metric)


@st.cache_resource(max_entries=16, ttl=_PRICED_SECONDS, show_spinner=False)
def _price(root: Path, digests: tuple[str, ...], stamp: int, _recipes: Sequence[Recipe]) -> Price:
    del root, digests, stamp  # name the answer
    from qcore.pipeline.planning.schedule import total

    try:
        cost = engine.preview(_recipes)
        each = tuple(total(stages) for stages in engine.schedule(_recipes))
    except QuantscopeError as error:
        return Price(refusal=str(error))
    return Price(
        each,
        cost.seconds,
        cost.timed,
        cost.untimed,
        cost.stages,
        cost.cached,
        cost.shared,
    )
