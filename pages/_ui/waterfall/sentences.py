"""What a waterfall says: where most comes from, what cannot be told, what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from pages._ui import wording
from pages._ui.compare import words
from pages._ui.form.summary import estimate
from pages._ui.waterfall import tables
from pages._ui.waterfall.engine import Price
from qcore.explore.waterfall import StepDifference, WaterfallNumbers
from qcore.recipe.titles import technique_label
from qcore.report.report import Report

ORDER = (
    "Techniques are added in the order in which they act: transform, permutation, expansion, "
    "scale, rounding, inputs, budget. What one brings depends on what stands before it, so the "
    "second figure takes each out of the whole run alone."
)


def findings(found: WaterfallNumbers, report: Report) -> str:
    """A sentence or two: the step that brings most, what is open, what the run misses most."""
    parts = []
    steps = [item for item in found.added if item.gap is not None]
    better = [item for item in steps if tables.verdict(item.gap) == "better"]
    if better:
        most = min(better, key=_value)
        parts.append(
            f"Most comes with {_named(most, report)}: {words.signed(_value(most))} "
            f"{tables.interval(most.gap)} nats per token."
        )
    worse = [item for item in steps if tables.verdict(item.gap) == "worse"]
    if worse:
        parts.append(f"Worse where it is added: {_names(worse, report)}.")
    still = [item for item in steps if tables.verdict(item.gap) == "open"]
    if still:
        parts.append(f"Cannot be told from nothing where added: {_names(still, report)}.")
    idle = [item for item in found.left_out if item.gap and not _hurts(item)]
    if idle:
        parts.append(f"The run does not measurably miss: {_names(idle, report)}.")
    return " ".join(parts)


def price(cost: Price, left: int) -> str:
    """`about 4 min for all; 6 of 31 stages are in the cache, 9 shared by these runs`."""
    taken = estimate(cost.seconds, left, cost.timed, cost.untimed)
    return (
        f"Takes {taken}. Of {wording.count(cost.stages, 'stage')}, {cost.cached} are in the cache "
        f"and {cost.shared} are shared by these runs: each is computed once."
    )


def _hurts(item: StepDifference) -> bool:
    return tables.verdict(item.gap) == "worse"


def _value(item: StepDifference) -> float:
    return item.gap.value if item.gap is not None else 0.0


def _named(item: StepDifference, report: Report) -> str:
    return ", ".join(technique_label(name, report.recipe) for name in item.step.techniques)


def _names(items: Sequence[StepDifference], report: Report) -> str:
    return "; ".join(_named(item, report) for item in items)
