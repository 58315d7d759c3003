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
from qcore.explore.front import BROKEN_LOSS
from qcore.recipe.titles import _format_of, evaluation_label, method, short_title_of, title_of
from qcore.report.metrics import _QUALITIES, Axis, metric_label
from qcore.report.report import Report

FLOAT_BITS = 16.0


def summary(report: Report) -> dict[str, Any]:
    """One run as a row. Two runs share `measured` only when the same tokens were scored."""
    recipe, volume = report.recipe, report.volume
    data = report.environment.data.get("evaluation text", "")
    row: dict[str, Any] = {
        "id": report.id,
        "created": report.created,
        "title": title_of(recipe),
        "short": short_title_of(recipe),
        "method": method(recipe),
        "model": report.environment.model,
        "measured": f"{evaluation_label(recipe)}{f' · text {data[:6]}' if data else ''}",
        "weights": _format_of(recipe, recipe.weights),
        "group": (recipe.weights.value.group if recipe.weights else None) or 0,
        "activations": _format_of(recipe, recipe.activations),
        "scales": recipe.scales.method if recipe.weights else "",
        "bits": volume.bits_per_weight,
        "bytes": float(volume.total_bytes),
        "float_perplexity": float_perplexity(report),
        "seconds": sum(stage.seconds for stage in report.stages),
        "cached": sum(stage.cached for stage in report.stages),
        "stages": len(report.stages),
        "device": report.environment.device,
        "notes": len(report.notes),
    }
    for metric in report.metrics:
        row[metric.name] = metric.value
        row[f"{metric.name}/low"] = metric.low
        row[f"{metric.name}/high"] = metric.high
        row[f"{metric.name}/count"] = metric.count
    return row


def runs(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a table, newest first; numbers are float32 or float64, never objects."""
    if not rows:
        return pd.DataFrame({"id": [], "measured": [], "model": [], "method": []})
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
    )
}


def metrics(table: pd.DataFrame) -> list[str]:
    """The metrics that any run of the table has: perplexity first, tasks last."""
    known = [name for name in _QUALITIES if np.isfinite(numbers(table, name)).any()]
    tasks = sorted(
        name for name in table.columns if name.startswith("accuracy/") and name.count("/") == 1
    )
    return known + tasks


def reference(table: pd.DataFrame, axis: Axis) -> float:
    """The float model's score on an axis; NaN where it is not known or the runs disagree."""
    certain = {"loss_increase": 0.0, "kl": 0.0, "top1_agreement": 1.0}
    if axis.column != "perplexity":
        return certain.get(axis.column, math.nan)
    values = numbers(table, "float_perplexity")
    values = values[np.isfinite(values)]
    agreed = len(values) > 0 and np.ptp(values) <= 1e-3 * values[0]
    return float(values[0]) if agreed else math.nan


def broken(table: pd.DataFrame, axis: Axis) -> np.ndarray:
    """Which runs lost so much that drawing them would flatten all others; none if all did."""
    limits = {"kl": BROKEN_LOSS, "loss_increase": BROKEN_LOSS}
    limit = limits.get(axis.column, math.nan)
    if axis.column == "perplexity":
        limit = reference(table, axis) * math.exp(BROKEN_LOSS)
    lost = numbers(table, axis.column) > limit
    return lost & ~lost.all()


def comparable(table: pd.DataFrame, measured: str, models: Sequence[str]) -> pd.DataFrame:
    """The runs of these models that were scored on the same tokens."""
    return table.loc[(table["measured"] == measured) & table["model"].isin(models)]


def float_perplexity(report: Report) -> float:
    """The float network's perplexity on the same windows; NaN where it was not measured.

    All windows have the same number of scored tokens, so the mean of their means is the token mean.
    """
    losses = report.float_window_losses
    return math.exp(math.fsum(losses) / len(losses)) if losses else math.nan


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
