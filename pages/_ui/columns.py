"""Columns of a table of runs as numbers or words, missing ones included."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column as float64, NaN where there is no number; all NaN where there is no such column."""
    if column not in table.columns:
        return np.full(len(table), math.nan)
    return np.asarray(table[column], dtype=np.float64)


def words(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column of text, as an array of str."""
    return np.asarray(table[column], dtype=object)
