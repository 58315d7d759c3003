"""Comparisons as tables, pure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pages._ui import wording
from pages._ui.compare import words
from pages._ui.runs import fields
from qcore.explore.compare import LayerComparison, RunComparison, differing_knobs
from qcore.report.report import Report


def differences(found: Sequence[RunComparison]) -> pd.DataFrame:
    """Every metric of every run against the baseline, as text for people."""
    rows = [
        {
            "Run": words.LETTERS[place],
            "Metric": words.metric_name(gap.metric),
            "A": wording.significant(words.scaled(gap, gap.base)),
            "Run's": wording.significant(words.scaled(gap, gap.value)),
            "Difference": words.signed(words.scaled(gap, gap.gap.value)),
            "95 % interval": words.interval(gap),
            "Unit": words.unit(gap),
            "Over": wording.count(gap.count, "window" if gap.paired else "question"),
            "Says": {True: "better", False: "worse", None: "open"}[gap.better],
        }
        for place, run in enumerate(found, start=1)
        for gap in run.differences
    ]
    return pd.DataFrame(rows)


def forest(found: Sequence[RunComparison], metric: str) -> pd.DataFrame:
    """One metric's differences as numbers, a row a run that has it; of all tasks with `TASKS`."""
    rows = [
        {
            "run": words.LETTERS[place],
            "row": words.LETTERS[place]
            + (f" · {words.metric_name(gap.metric)}" if metric == TASKS else ""),
            "value": words.scaled(gap, gap.gap.value),
            "low": words.scaled(gap, gap.gap.low),
            "high": words.scaled(gap, gap.gap.high),
            "unit": words.unit(gap),
            "better": gap.better,
            "higher_is_better": gap.higher_is_better,
        }
        for place, run in enumerate(found, start=1)
        for gap in run.differences
        if gap.metric == metric or (metric == TASKS and is_task(gap.metric))
    ]
    return pd.DataFrame(rows)


TASKS = "tasks"
"""All tasks in one forest."""


def is_task(metric: str) -> bool:
    """Whether a metric is a task's accuracy, the one without a second norm."""
    return metric.startswith("accuracy/") and metric.count("/") == 1


def metrics_of(found: Sequence[RunComparison]) -> list[str]:
    """What a forest can show: the metrics that any comparison has, losses first, tasks at once."""
    names = list(dict.fromkeys(gap.metric for run in found for gap in run.differences))
    if sum(map(is_task, names)) < 2:
        return names
    first = next(at for at, name in enumerate(names) if is_task(name))
    return [*names[:first], TASKS, *names[first:]]


def knobs(reports: Sequence[Report]) -> pd.DataFrame:
    """The knobs that differ, a column for each run."""
    rows = [
        {"Knob": path}
        | {words.LETTERS[at]: fields.knob_value(value) for at, value in enumerate(values)}
        for path, values in differing_knobs(reports).items()
    ]
    return pd.DataFrame(rows)


def layers(rows: Sequence[LayerComparison]) -> pd.DataFrame:
    """Layers side by side: each run's format and output error, or weight error without one."""
    table = []
    for row in rows:
        errors = row.output_errors if any(row.output_errors) else row.weight_errors
        line: dict[str, object] = {"Layer": row.name}
        for at, (name, error) in enumerate(zip(row.formats, errors, strict=True)):
            line[f"{words.LETTERS[at]} format"] = name or "float"
            line[f"{words.LETTERS[at]} error"] = error
        table.append(line)
    return pd.DataFrame(table)
