"""What the Bits page asks of the engine: contests, sensitivities, solvers, and new runs.

Reports are read once. A solver is prepared once for a set of rules and answers any budget in less
than a millisecond; both are shared by all sessions.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from cache.digest import digest
from pages._ui import engine
from pages._ui.bits import tables
from pages._ui.bits.forecast import Forecast, forecast_of, with_predictions
from qcore.errors import QuantscopeError
from qcore.explore import contests
from qcore.explore.contests import Contest
from qcore.formats.format import FORMATS
from qcore.machine.home import home
from qcore.precision.table import Costs
from qcore.recipe import Precision, Recipe
from qcore.report import metrics
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.serialization import to_plain

if TYPE_CHECKING:
    from qcore.precision.budget import Assigner, Assignment
    from qcore.precision.table import SensitivityTable


class Desk:
    """Contests and the sensitivities behind them, kept in step with the library."""

    def __init__(self, library: Library):
        self._library = library
        self._lock = threading.Lock()
        self._places: dict[str, tuple[str, ...]] = {}
        self._tables: dict[str, SensitivityTable] = {}

    def contests(self) -> list[Contest]:
        """All contests, that of the newest run first. A Report is read once, when it is new."""
        with self._lock:
            ids = self._library.ids()
            for name in ids:
                if name not in self._places:
                    report = self._report(name)
                    self._places[name] = contests.places(report) if report else ()
            here = [self._report(name) for name in ids if self._places[name]]
        return contests.contests(report for report in here if report is not None)

    def table(self, contest: Contest) -> SensitivityTable | None:
        """The richest sensitivities that the cache holds for a contest."""
        for recipe in contest.asked:
            key = digest([contest.key, to_plain(recipe.precision)])
            if key not in self._tables:
                found = cached(recipe)
                if found is None:
                    continue
                self._tables[key] = found
            return self._tables[key]
        return None

    def forget(self) -> None:
        """Ask the cache for every table anew."""
        self._tables.clear()

    def _report(self, name: str) -> Report | None:
        try:
            return self._library.get(name)
        except QuantscopeError:
            return None  # unreadable: the library leaves such files out too


def cached(recipe: Recipe) -> SensitivityTable | None:
    """The sensitivities that a recipe would look at, if they have been measured."""
    from qcore.pipeline.stages import sensitivity

    return sensitivity.cached(recipe, engine.cache())


def desk() -> Desk:
    """The one of this process."""
    return _desk(home())


@st.cache_resource(show_spinner=False)
def _desk(root: Path) -> Desk:
    return Desk(engine.library())


def assigner(contest: Contest, table: SensitivityTable, part: Precision) -> Assigner:
    """The solver for a part's rules, ready for any budget; the part's own budget does not matter.

    Raises:
        InvalidRecipe: pins that contradict each other or match nothing.
    """
    rules = to_plain(dataclasses.replace(part, budget=FORMATS[part.narrow_to_wide[0]].bits))
    recipe = contest.recipe
    group = recipe.weights.group if recipe.weights else None
    key = digest([contest.key, table.tokens, list(table.formats), rules, group, recipe.seed])
    return _assigner(key, table, part, group, recipe.seed)


@st.cache_resource(max_entries=64, show_spinner=False)
def _assigner(
    key: str, _table: SensitivityTable, _part: Precision, _group: int | None, _seed: int
) -> Assigner:
    from qcore.precision.budget import Assigner

    return Assigner(_table.layers, _part, group=_group, table=_table, seed=_seed)


@dataclass(frozen=True, slots=True)
class Case:
    """A contest under one set of rules, at one budget.

    Attributes:
        contest: the runs.
        score: what they are scored by.
        table: what each layer costs in each format.
        part: the rules, the budget among them.
        budget: average bits.
        solver: the part's method, ready for any budget.
        solved: what it gives at the budget.
        measured: the runs as rows, their bits counted by these rules; to be read, not written.
        forecast: what sums of sensitivities predict; None for a score that is not predicted.
    """

    contest: Contest
    score: metrics.Axis
    table: SensitivityTable
    part: Precision
    budget: float
    solver: Assigner
    solved: Assignment
    measured: pd.DataFrame
    forecast: Forecast | None

    @property
    def costs(self) -> Costs:
        """What each layer costs in each format, by the part's measure."""
        return self.table.cost(self.part.probe.measure)

    @property
    def stored_bytes(self) -> float:
        """What the solved weights occupy, scales included."""
        from qcore.precision.counting import average_bits

        weights = self.contest.recipe.weights
        bits = average_bits(
            self.solved.formats,
            self.table.layers,
            dataclasses.replace(self.part, objective="bytes", weighting="size"),
            group=weights.group if weights else None,
        )
        return bits * sum(layer.weights for layer in self.table.layers) / 8

    def wider(self, step: float) -> Assignment:
        """What the same method gives at the next larger budget."""
        return self.solver.at(min(self.budget + step, self.solver.reach[1]))

    def rivals(self, methods: Sequence[str]) -> list[tuple[str, Assigner]]:
        """These methods, under the same rules."""
        parts = {name: dataclasses.replace(self.part, method=name) for name in methods}
        return [(name, assigner(self.contest, self.table, part)) for name, part in parts.items()]


def case(
    contest: Contest, score: metrics.Axis, table: SensitivityTable, rules: Precision, budget: float
) -> Case:
    """A contest by these rules at a budget.

    Raises:
        InvalidRecipe: a budget or pins that cannot be met.
    """
    part = dataclasses.replace(rules, budget=budget)
    solver = assigner(contest, table, part)
    rows, found = measured(contest, score, table, part)
    return Case(contest, score, table, part, budget, solver, solver.at(budget), rows, found)


def measured(
    contest: Contest, score: metrics.Axis, table: SensitivityTable, part: Precision
) -> tuple[pd.DataFrame, Forecast | None]:
    """The runs as rows, with what the others predict for each; and the forecast they calibrate."""
    counted = [part.objective, part.weighting, part.probe.measure, score.column]
    ids = [report.id for report in contest.reports]
    key = digest([contest.key, ids, counted, table.tokens, list(table.formats)])
    return _measured(key, contest, score, table, part)


@st.cache_resource(max_entries=32, show_spinner=False)
def _measured(
    key: str, _contest: Contest, _score: metrics.Axis, _table: SensitivityTable, _part: Precision
) -> tuple[pd.DataFrame, Forecast | None]:
    weights, measure = _contest.recipe.weights, _part.probe.measure
    group = weights.group if weights else None
    rows = tables.measured(_contest.reports, _table.layers, _part, group, _table)
    told = with_predictions(rows, _score, measure)
    return told, forecast_of(rows, _score, measure)


def demo_recipe() -> Recipe:
    """What the empty page offers: sensitivities of the demo model, and the best of 5 bits."""
    return Recipe.from_dict(
        {
            "weights": {"format": "mxfp4"},
            "activations": {"format": "mxfp4"},
            "precision": {},
            "scales": {"method": "absmax"},
        }
    )
