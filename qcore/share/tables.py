"""A bundle's runs as Parquet tables, for readers that are not Quantscope.

`runs.parquet` has a row per run: what it is, its size, every metric with its interval.
`windows.parquet` has a row per run and window of the evaluation text: what paired statistics need.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from qcore.recipe.titles import method, title_of
from qcore.report.labels import NOTHING, Label
from qcore.report.report import Report


def runs_table(reports: Sequence[Report], labels: Mapping[str, Label]) -> bytes:
    """A row per run; sizes in bytes and bits per weight, metrics in the units of their names."""
    rows = []
    for report in reports:
        label, where = labels.get(report.id, NOTHING), report.environment
        row: dict[str, Any] = {
            "run": report.id,
            "name": label.name,
            "title": title_of(report.recipe),
            "tags": ", ".join(label.tags),
            "method": method(report.recipe),
            "model": where.model,
            "model_digest": where.model_digest,
            "created": report.created,
            "bits_per_weight": report.volume.bits_per_weight,
            "bytes": report.volume.total_bytes,
        }
        for metric in report.metrics:
            row[metric.name] = metric.value
            row[f"{metric.name}/low"] = metric.low
            row[f"{metric.name}/high"] = metric.high
        rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    return _parquet({name: [row.get(name) for row in rows] for name in columns})


def windows_table(reports: Sequence[Report]) -> bytes:
    """A row per run and window; losses and KL in nats per token."""
    table: dict[str, list[Any]] = {
        name: [] for name in ("run", "window", "loss", "float_loss", "kl")
    }
    for report in reports:
        kl, float_losses = report.window_divergences, report.float_window_losses
        for window, loss in enumerate(report.window_losses):
            table["run"].append(report.id)
            table["window"].append(window)
            table["loss"].append(loss)
            table["float_loss"].append(float_losses[window] if window < len(float_losses) else None)
            table["kl"].append(kl[window] if window < len(kl) else None)
    return _parquet(table)


def _parquet(columns: Mapping[str, list[Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.table(dict(columns)), buffer, compression="zstd")
    return buffer.getvalue()
