"""The runs as one table, kept in step with the library without reading a report twice.

A library of ten thousand reports must not be parsed on every click. The folder's modification time
says whether anything came or went; only new reports are read, each leaves one small row, and the
table is put together once per change.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pandas as pd

from pages._ui.runs import tables
from qcore.errors import QuantscopeError
from qcore.report.library import Library

_TICK_NS = 50_000_000
"""File systems stamp coarsely: two changes within this time may carry the same stamp."""


class Catalogue:
    """The table of all readable reports; safe to share between sessions."""

    def __init__(self, library: Library):
        self._library = library
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any] | None] = {}
        self._stamp: int | None = None
        self._table = tables.runs([])
        self.version = 0
        """Grows whenever the table was made anew: a key for whatever is drawn from it."""

    def table(self) -> pd.DataFrame:
        """One row per run, newest first (`tables.summary`); to be read, not written."""
        with self._lock:
            stamp = self._library.stamp()
            if stamp != self._stamp:
                self._read_new(self._library.ids())
                settled = time.time_ns() - stamp > _TICK_NS
                self._stamp = stamp if settled else None
            return self._table

    def _read_new(self, ids: list[str]) -> None:
        if self._rows.keys() == set(ids):
            return
        self._rows = {report: self._row(report) for report in ids}
        self.version += 1
        self._table = tables.runs([row for row in self._rows.values() if row is not None])

    def _row(self, report: str) -> dict[str, Any] | None:
        if report in self._rows:
            return self._rows[report]
        try:
            return tables.summary(self._library.get(report))
        except QuantscopeError:
            return None  # unreadable: the library leaves such files out too
