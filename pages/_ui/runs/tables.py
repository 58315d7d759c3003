"""Reports to tables, pure: one row per run, and the tables inside one run.

Every number keeps its unit in its column's name or in `COLUMNS`; rounding is left to the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pages._ui import wording
from pages._ui.columns import numbers
from pages._ui.runs.words import metric_interval, metric_value
from qcore.explore import front
from qcore.export.rules import servers
from qcore.recipe.titles import (
    evaluation_label,
    inputs_label,
    method,
    short_title_of,
    title_of,
    weights_label,
)
from qcore.report.labels import NOTHING, Label
from qcore.report.metrics import Axis, is_metric, known, metric_label
from qcore.report.report import Report
from qcore.report.summary import Summary

FLOAT_BITS = 16.0
HERE = "measured here"
"""The source of runs that no bundle brought."""


def row(run: Summary, label: Label = NOTHING, source: str = HERE) -> dict[str, Any]:
    """One run as a row. Two runs share `measured` only when the same tokens were scored.

    A run that was named has its name in the place of its titles. `source` names the bundle that
    brought it.
    """
    recipe, data = run.recipe, run.text_digest
    values: dict[str, Any] = {
        "id": run.id,
        "created": run.created,
        "title": label.name or title_of(recipe),
        "short": label.name or short_title_of(recipe),
        "recipe": title_of(recipe),
        "tags": ", ".join(label.tags),
        "note": label.note,
        "pinned": label.pinned,
        "archived": label.archived,
        "baseline": bool(label.baseline),
        "method": method(recipe),
        "model": run.model,
        "measured": f"{evaluation_label(recipe)}{f' · text {data[:6]}' if data else ''}",
        "weights": weights_label(recipe),
        "group": (recipe.weights.value.group if recipe.weights else None) or 0,
        "activations": inputs_label(recipe),
        "scales": recipe.scales.method if recipe.weights else "",
        "bits": run.bits,
        "bytes": float(run.bytes),
        "float_perplexity": run.float_perplexity,
        "seconds": run.seconds,
        "cached": sum(stage.cached for stage in run.stages),
        "stages": len(run.stages),
        "device": run.device,
        "servers": ", ".join(servers(recipe)),
        "source": source,
        "notes": run.notes,
    }
    for score in run.scores:
        values[score.name] = score.value
        values[f"{score.name}/low"] = score.low
        values[f"{score.name}/high"] = score.high
        values[f"{score.name}/count"] = score.count
    return values


def runs(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a table, newest first; numbers are float32 or float64, never objects."""
    if not rows:
        names = ("id", "title", "measured", "model", "method", "archived")
        return pd.DataFrame({name: [] for name in names})
    table = pd.DataFrame.from_records(rows)
    for column in table.columns:
        # Python's own strings: arrow's would be converted anew at every drawing.
        kept = column in _WORDS
        table[column] = table[column].astype(object) if kept else pd.to_numeric(table[column])
    return table.sort_values("created", ascending=False, kind="stable", ignore_index=True)


_WORDS = {
    *(
        "id",
        "title",
        "short",
        "method",
        "model",
        "measured",
        "weights",
        "activations",
        "scales",
        "device",
        "servers",
        "recipe",
        "tags",
        "note",
        "source",
    )
}


def metrics(table: pd.DataFrame) -> list[str]:
    """The metrics that any run of the table has: perplexity first, tasks last."""
    held = (name for name in table.columns if is_metric(name))
    return known(name for name in held if np.isfinite(numbers(table, name)).any())


def telling(names: Sequence[str]) -> str:
    """The metric that a figure opens with: paired against the float model where there is one.

    A difference on the same windows has a far narrower interval than a perplexity: what a text has
    of hard places, both networks find hard.
    """
    return next((name for name in ("loss_increase", "kl") if name in names), names[0])


def reference(table: pd.DataFrame, axis: Axis) -> float:
    """The float model's score on an axis; NaN where it is not known or the runs disagree."""
    return front.reference(axis.column, numbers(table, "float_perplexity"))


def broken(table: pd.DataFrame, axis: Axis) -> np.ndarray:
    """Which runs lost so much that drawing them would flatten all others; none if all did."""
    return front.broken(axis.column, numbers(table, axis.column), reference(table, axis))


def comparable(table: pd.DataFrame, measured: str, models: Sequence[str]) -> pd.DataFrame:
    """The runs of these models that were scored on the same tokens."""
    return table.loc[(table["measured"] == measured) & table["model"].isin(models)]


def metric_table(report: Report) -> pd.DataFrame:
    """The run's numbers with their intervals and definitions."""
    return pd.DataFrame.from_records(
        [
            {
                "Metric": metric_label(metric.name),
                "Value": metric_value(metric),
                "95 % interval": metric_interval(metric),
                "Scored": f"{metric.count:,}",
                "Definition": metric.definition,
            }
            for metric in report.metrics
        ]
    )


def layer_table(report: Report) -> pd.DataFrame:
    """One row per quantized layer; errors are squared and relative."""
    columns = {
        "Layer": [layer.name for layer in report.layers],
        "Block": [layer.block for layer in report.layers],
        "Projection": [layer.projection for layer in report.layers],
        "Format": [layer.format for layer in report.layers],
        "Parameters": [layer.parameters for layer in report.layers],
        "Bits per weight": [layer.bits_per_weight for layer in report.layers],
        "Weight error": [layer.weight_error for layer in report.layers],
        "Output error": _numbers(layer.output_error for layer in report.layers),
        "Damping": _numbers(layer.damping for layer in report.layers),
        "Seconds": [layer.seconds for layer in report.layers],
    }
    return pd.DataFrame(columns).dropna(axis="columns", how="all")


def stage_table(report: Report) -> pd.DataFrame:
    """The stages in order, and which of them the cache served."""
    return pd.DataFrame(
        {
            "Stage": [stage.name for stage in report.stages],
            "Time": [wording.duration(stage.seconds) for stage in report.stages],
            "From": ["cache" if stage.cached else "computed" for stage in report.stages],
            "Key": [stage.key[:16] for stage in report.stages],
        }
    )


def kernel_table(report: Report) -> pd.DataFrame:
    """A row per operation and implementation that served the run."""
    return pd.DataFrame(
        {
            "Operation": [item.operation for item in report.kernels],
            "Served by": [item.path for item in report.kernels],
            "Why": [item.why for item in report.kernels],
            "Calls": [item.count for item in report.kernels],
        }
    )


def environment_table(report: Report) -> pd.DataFrame:
    """Where the run was made and on what."""
    where = report.environment
    pairs = [
        ("Device", where.device),
        ("Model", where.model),
        ("Revision", where.revision or ""),
        ("Model files (SHA-256)", where.model_digest),
        ("Family", where.family),
        *((f"{name.capitalize()} (SHA-256)", digest) for name, digest in where.data.items()),
        *((f"Version: {name}", version) for name, version in where.versions.items()),
    ]
    return pd.DataFrame([pair for pair in pairs if pair[1]], columns=["What", "Value"])


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
