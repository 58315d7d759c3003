"""What the Bits page asks of the engine: comparable runs, sensitivities, solvers, and new runs.

A solver is prepared once for a set of rules and answers any budget in less
than a millisecond; both are shared by all sessions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from cache.digest import digest
from pages._ui import engine
from pages._ui.bits import forecast, tables
from pages._ui.bits.forecast import Forecast, Told, forecast_of, with_predictions
from qcore.errors import QuantscopeError
from qcore.explore.groups import ComparisonGroup, Groups
from qcore.formats.format import FORMATS
from qcore.machine.home import home
from qcore.precision.table import Costs
from qcore.recipe import Precision, Recipe
from qcore.report import metrics
from qcore.report.report import Report
from qcore.serialization import to_plain

if TYPE_CHECKING:
    from qcore.precision.budget import Assigner, Assignment
    from qcore.precision.table import SensitivityTable


def groups() -> list[ComparisonGroup]:
    """All comparison groups, that of the newest run first."""
    return _groups(home()).all()


def sensitivities(group: ComparisonGroup) -> SensitivityTable | None:
    """The richest sensitivities that the cache holds for a group's runs; each is read once."""
    known = _sensitivities(home())
    for recipe in group.asked:
        key = digest([group.key, to_plain(recipe.precision)])
        if key not in known:
            found = cached(recipe)
            if found is None:
                continue
            known[key] = found
        return known[key]
    return None


def forget() -> None:
    """Ask the cache for every table of sensitivities anew."""
    _sensitivities(home()).clear()


def cached(recipe: Recipe) -> SensitivityTable | None:
    """The sensitivities that a recipe would look at, if they have been measured."""
    from qcore.pipeline.stages import sensitivity

    return sensitivity.cached(recipe, engine.shelf())


@st.cache_resource(show_spinner=False)
def _groups(root: Path) -> Groups:
    return Groups(engine.index())


@st.cache_resource(show_spinner=False)
def _sensitivities(root: Path) -> dict[str, SensitivityTable]:
    return {}


def assigner(group: ComparisonGroup, table: SensitivityTable, part: Precision) -> Assigner:
    """The solver for a part's rules, ready for any budget; the part's own budget does not matter.

    Raises:
        InvalidRecipe: pins that contradict each other or match nothing.
    """
    recipe = group.recipe
    size = recipe.weights.group if recipe.weights else None
    return _assigner(_rules_key(group, table, part), table, part, size, recipe.seed)


def _rules_key(group: ComparisonGroup, table: SensitivityTable, part: Precision) -> str:
    """What a solver depends on: everything but the budget."""
    rules = to_plain(dataclasses.replace(part, budget=FORMATS[part.narrow_to_wide[0]].bits))
    recipe = group.recipe
    size = recipe.weights.group if recipe.weights else None
    return digest([group.key, _identity(table), rules, size, recipe.seed])


@functools.lru_cache(maxsize=16)
def _identity(table: SensitivityTable) -> str:
    """What tells a table from every other; the text of a table of 80 blocks takes 25 ms."""
    return digest(to_plain(table))


@st.cache_resource(max_entries=64, show_spinner=False)
def _assigner(
    key: str, _table: SensitivityTable, _part: Precision, _size: int | None, _seed: int
) -> Assigner:
    from qcore.precision.budget import Assigner

    return Assigner(_table.layers, _part, group=_size, table=_table, seed=_seed)


@dataclass(frozen=True, slots=True)
class Case:
    """Comparable runs under one set of rules, at one budget.

    Attributes:
        group: the runs.
        score: what they are scored by.
        table: what each layer costs in each format.
        part: the rules, the budget among them.
        budget: average bits.
        solver: the part's method, ready for any budget.
        solved: what it gives at the budget.
        measured: the runs as rows, their bits counted by these rules; to be read, not written.
        forecast: what sums of sensitivities predict; None for a score that is not predicted.
    """

    group: ComparisonGroup
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

        weights = self.group.recipe.weights
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
        return [(name, assigner(self.group, self.table, part)) for name, part in parts.items()]


def case(
    group: ComparisonGroup,
    score: metrics.Axis,
    table: SensitivityTable,
    rules: Precision,
    budget: float,
) -> Case:
    """Comparable runs by these rules at a budget.

    Raises:
        InvalidRecipe: a budget or pins that cannot be met.
    """
    part = dataclasses.replace(rules, budget=budget)
    solver = assigner(group, table, part)
    rows, found = measured(group, score, table, part)
    return Case(group, score, table, part, budget, solver, solver.at(budget), rows, found)


def measured(
    group: ComparisonGroup, score: metrics.Axis, table: SensitivityTable, part: Precision
) -> tuple[pd.DataFrame, Forecast | None]:
    """The runs as rows, with what the others predict for each; and the forecast they calibrate."""
    return _measured(_measured_key(group, score, table, part), group, score, table, part)


def _measured_key(
    group: ComparisonGroup, score: metrics.Axis, table: SensitivityTable, part: Precision
) -> str:
    counted = [part.objective, part.weighting, part.probe.measure, score.column]
    ids = [run.id for run in group.runs]
    return digest([group.key, ids, counted, _identity(table)])


def curve(case: Case) -> list[Told]:
    """What the case's method predicts over all budgets; the same at every budget."""
    group, table, part = case.group, case.table, case.part
    key = _rules_key(group, table, part) + _measured_key(group, case.score, table, part)
    return _curve(key, case)


@st.cache_resource(max_entries=32, show_spinner=False)
def _curve(key: str, _case: Case) -> list[Told]:
    return forecast.curve(_case.solver, _case.part.method, _case.forecast)


@st.cache_resource(max_entries=32, show_spinner=False)
def _measured(
    key: str,
    _group: ComparisonGroup,
    _score: metrics.Axis,
    _table: SensitivityTable,
    _part: Precision,
) -> tuple[pd.DataFrame, Forecast | None]:
    weights, measure = _group.recipe.weights, _part.probe.measure
    size = weights.group if weights else None
    formats = {run.id: found for run in _group.runs if (found := _formats(home(), run.id))}
    rows = tables.measured(_group.runs, formats, _table.layers, _part, size, _table)
    told = with_predictions(rows, _score, measure)
    return told, forecast_of(rows, _score, measure)


@st.cache_resource(max_entries=2048, show_spinner=False)
def _formats(root: Path, run: str) -> dict[str, str]:
    """The format of every quantized layer of a run; none where its Report is gone."""
    report = report_of(run)
    return tables.formats_of(report) if report else {}


def report_of(run: str) -> Report | None:
    """A run's whole Report; None where it is gone."""
    try:
        return engine.index().get(run)
    except QuantscopeError:
        return None


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
