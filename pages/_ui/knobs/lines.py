"""Runs as lines over parallel axes, one for each knob and metric: where each stands, pure.

Every axis runs from 0 to 1. A knob has a place for each of its values, evenly spaced; a metric is
linear or logarithmic between its ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pages._ui import columns, wording
from pages._ui.runs import fields
from qcore.report.metrics import is_share, metric_label

MOST_TICKS = 8
BITS = "bits"


@dataclass(frozen=True, slots=True)
class ParallelAxis:
    """One axis.

    Attributes:
        name: of the knob's path, or the metric.
        label: what people call it.
        places: of the runs, 0 to 1; NaN where a run has no number.
        ticks: place and text.
    """

    name: str
    label: str
    places: np.ndarray
    ticks: tuple[tuple[float, str], ...]


def axis_of(name: str, table: pd.DataFrame, knobs: Mapping[str, Mapping[str, str]]) -> ParallelAxis:
    """The axis of a metric that the table has, or of a knob."""
    if name == BITS or name in table.columns:
        return _metric(name, columns.numbers(table, name))
    texts = [knobs.get(run, {}).get(name, fields.ABSENT) for run in columns.words(table, "id")]
    values = sorted(set(texts), key=_order)
    step = 1 / max(len(values) - 1, 1)
    places = {value: at * step if len(values) > 1 else 0.5 for at, value in enumerate(values)}
    thin = -(-len(values) // MOST_TICKS)
    ticks = tuple((places[value], value) for value in values[::thin])
    return ParallelAxis(name, fields.label(name), np.array([places[t] for t in texts]), ticks)


def _metric(name: str, numbers: np.ndarray) -> ParallelAxis:
    label = "Bits per weight" if name == BITS else metric_label(name)
    label = label[:1].upper() + label[1:]
    known = numbers[np.isfinite(numbers)]
    logarithmic = name != BITS and not is_share(name) and len(known) > 0 and known.min() > 0
    scaled = np.log(numbers) if logarithmic else numbers
    low, high = (np.nanmin(scaled), np.nanmax(scaled)) if len(known) else (0.0, 1.0)
    places = (scaled - low) / (high - low) if high > low else np.where(np.isfinite(scaled), 0.5, 0)
    ends = [0.0, 0.5, 1.0] if high > low else [0.5]
    values = [low + place * (high - low) for place in ends]
    ticks = tuple(
        (place, wording.significant(float(np.exp(v) if logarithmic else v), 3))
        for place, v in zip(ends, values, strict=True)
    )
    return ParallelAxis(name, label, places, ticks)


def _order(value: str) -> tuple[int, float, str]:
    """Numbers by size, then words; what is absent first."""
    if value == fields.ABSENT:
        return (0, 0.0, value)
    try:
        return (1, float(value), value)
    except ValueError:
        return (2, 0.0, value)


def narrowed(before: Sequence[str], brushed: Sequence[str]) -> list[str]:
    """A brush within what was brushed before narrows it; one beside it begins anew."""
    both = [run for run in brushed if run in set(before)]
    return both or list(brushed)
