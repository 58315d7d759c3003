"""The runs as one table, put together once per change: thousands of rows must not be on a click."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd

from pages._ui.runs import tables
from qcore.report.index import Index
from qcore.report.summary import Summary


class RunTable:
    """The table of an index's runs; safe to share between sessions."""

    def __init__(self, index: Index):
        self._index = index
        self._lock = threading.Lock()
        self._stamp: int | None = None
        self._rows: dict[str, tuple[Summary, dict[str, Any]]] = {}
        self._table = tables.runs([])

    def table(self) -> pd.DataFrame:
        """One row per run, newest first (`tables.row`); to be read, not written."""
        with self._lock:
            stamp = self._index.stamp
            if stamp != self._stamp:
                self._rows = {run.id: self._row(run) for run in self._index.summaries()}
                self._table = tables.runs([row for _, row in self._rows.values()])
                self._stamp = stamp
            return self._table

    def _row(self, run: Summary) -> tuple[Summary, dict[str, Any]]:
        known = self._rows.get(run.id)
        return known if known and known[0] is run else (run, tables.row(run))
