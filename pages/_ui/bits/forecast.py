"""Predictions for assignments that nobody has run, beside the runs that calibrate them.

A sum of sensitivities predicts a divergence or an increase in loss (`qcore.precision.predict`); a
perplexity follows from the increase and from the float network's own. Nothing else is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pages._ui import columns
from pages._ui.runs import tables
from qcore.recipe import titles
from qcore.report import metrics

if TYPE_CHECKING:
    from qcore.precision.budget import Assigner
    from qcore.precision.predict import CalibratedLine, Prediction
    from qcore.precision.table import Measure

_PREDICTED_BY = {"kl": "kl", "loss_increase": "loss_increase", "perplexity": "loss_increase"}
"""A score to the column whose measurements calibrate its prediction."""

STEPS = 80
"""Budgets at which a curve is solved."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """From a sum of sensitivities to a score.

    Attributes:
        calibration: learned from the measured runs.
        plain: the float network's perplexity, where that is the score; else NaN.
    """

    calibration: CalibratedLine
    plain: float = math.nan

    def of(self, total: float) -> Prediction:
        """What that sum predicts."""
        found = self.calibration.predict(total)
        return found.perplexity(self.plain) if math.isfinite(self.plain) else found


@dataclass(frozen=True, slots=True)
class Told:
    """What one method's assignment of so many bits is expected to give."""

    method: str
    bits: float
    prediction: Prediction


def forecast_of(measured: pd.DataFrame, score: metrics.Axis, measure: Measure) -> Forecast | None:
    """The forecast that these runs calibrate; None for a score that is not predicted.

    Args:
        measured: rows of one comparison group with `cost`, the sum of their layers' sensitivities.
        score: what is to be predicted.
        measure: what the sums are sums of.
    """
    from qcore.precision.predict import PRIORS, calibrate

    column = _PREDICTED_BY.get(score.column)
    plain = tables.reference(measured, score) if score.column == "perplexity" else math.nan
    if column is None or (score.column == "perplexity" and not math.isfinite(plain)):
        return None
    sums, scores = columns.numbers(measured, "cost"), columns.numbers(measured, column)
    known = np.isfinite(sums) & np.isfinite(scores)
    pairs = zip(sums[known].tolist(), scores[known].tolist(), strict=True)
    return Forecast(calibrate(pairs, PRIORS[measure]), plain)


def with_predictions(measured: pd.DataFrame, score: metrics.Axis, measure: Measure) -> pd.DataFrame:
    """The rows with `predicted`: what all other runs would have predicted for this one."""
    values = []
    for at, total in enumerate(columns.numbers(measured, "cost")):
        others = forecast_of(measured.drop(index=measured.index[at]), score, measure)
        usable = others is not None and math.isfinite(total)
        values.append(others.of(total).value if others and usable else math.nan)
    return measured.assign(predicted=np.array(values, dtype=np.float64))


def curve(solver: Assigner, method: str, found: Forecast | None) -> list[Told]:
    """One method's prediction over all budgets that it can meet."""
    low, high = solver.reach
    budgets = np.linspace(low, high, STEPS + 1).tolist() if high > low else []
    return [told for budget in budgets for told in points([(method, solver)], budget, found)]


def points(
    rivals: Sequence[tuple[str, Assigner]], budget: float, found: Forecast | None
) -> list[Told]:
    """A prediction for every method at one budget; none without a forecast."""
    solved = [(titles.BUDGET_METHODS[method], solver.at(budget)) for method, solver in rivals]
    return [
        Told(method, answer.bits, found.of(answer.cost))
        for method, answer in solved
        if found is not None and answer.cost is not None
    ]
