"""What is asked of all comparable runs at once, kept until a run comes or goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from pages._ui import columns, engine
from pages._ui.runs import fields
from qcore.errors import InvalidRecipe
from qcore.explore.importance import Importance, importance
from qcore.machine.home import home
from qcore.recipe.axes import flatten
from qcore.recipe.techniques import essence

KL = "kl"
"""The metric whose logarithm is explained."""


def knobs_of(runs: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What decides each run's losses, path by path; what changes none is left out."""
    return _knobs(home(), engine.index().stamp, tuple(runs))


def importance_of(table: pd.DataFrame) -> Importance:
    """How much of log KL each knob explains over the runs of a table.

    Raises:
        InvalidRecipe: too few runs, or runs that do not differ.
    """
    found = _importance(home(), engine.index().stamp, tuple(columns.words(table, "id")), table)
    if isinstance(found, InvalidRecipe):
        raise found
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _knobs(root: Path, stamp: int, runs: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
    del root, stamp  # name the answer
    found = {}
    for run in runs:
        summary = engine.index().summary(run)
        if summary is not None:
            # A calibration that nothing reads is no knob of its own, and no absence of one either.
            asked = replace(essence(summary.recipe), calibration=summary.recipe.calibration)
            values = flatten(asked)
            found[run] = {path: fields.text(value) for path, value in values.items()}
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _importance(
    root: Path, stamp: int, runs: tuple[str, ...], _table: pd.DataFrame
) -> Importance | InvalidRecipe:
    del root, stamp  # name the answer
    values = knobs_of(runs)
    numbers = dict(zip(runs, columns.numbers(_table, KL), strict=True))
    distinct: dict[str, str] = {}  # what was asked for twice counts once
    for run in runs:
        summary = engine.index().summary(run)
        if summary is not None and np.isfinite(numbers[run]) and numbers[run] > 0:
            distinct.setdefault(essence(summary.recipe).digest, run)
    kept = [run for run in distinct.values() if run in values]
    paths = fields.varying({run: values[run] for run in kept})
    try:
        return importance(
            [float(np.log(numbers[run])) for run in kept],
            {path: [values[run].get(path, fields.ABSENT) for run in kept] for path in paths},
        )
    except InvalidRecipe as error:
        return error
