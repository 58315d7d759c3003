"""The runs as one table, put together once per change: thousands of rows must not be on a click."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from pages._ui import columns
from pages._ui.runs import fields, tables
from qcore.errors import QuantscopeError
from qcore.recipe.axes import flatten
from qcore.report.index import Index
from qcore.report.labels import NOTHING, Label, Labels
from qcore.report.summary import Summary

_TITLES_KEPT = 16


class RunTable:
    """The table of an index's runs, as they are labelled; safe to share between sessions."""

    def __init__(self, index: Index, labels: Labels):
        self._index = index
        self._labels = labels
        self._lock = threading.Lock()
        self._stamp: tuple[object, ...] | None = None
        self._rows: dict[str, tuple[Summary, Label, str, dict[str, Any]]] = {}
        self._fields: dict[str, tuple[Summary, Mapping[str, Any]]] = {}
        self._all = self._shown = tables.runs([])
        self._trouble = ""
        self._titles: dict[tuple[object, ...], list[str]] = {}

    def table(self, *, archived: bool = False) -> pd.DataFrame:
        """One row per run, newest first (`tables.row`); to be read, not written.

        Args:
            archived: whether archived runs are in it, too.
        """
        with self._lock:
            stamp = self.stamp
            if stamp != self._stamp:
                self._make()
                self._stamp = stamp
            return self._all if archived else self._shown

    def fields(self, runs: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The recipe's value at every path that counts, of each of these runs, by id."""
        found = {}
        for run in runs:
            summary = self._index.summary(run)
            if summary is None:
                continue
            kept = self._fields.get(run)
            if kept is None or kept[0] is not summary:
                kept = self._fields[run] = (summary, flatten(summary.recipe))
            found[run] = kept[1]
        return found

    def titles(self, table: pd.DataFrame, column: str = "title") -> list[str]:
        """Titles of a table's runs that tell them apart (`fields.apart`), kept while they last.

        Args:
            table: some rows of this table.
            column: `title`, or `short` for short ones.
        """
        ids = columns.words(table, "id")
        asked = (self.stamp, column, tuple(ids))
        if asked not in self._titles:
            values, nothing = self.fields(ids), {}
            told = fields.apart(
                list(columns.words(table, column)),
                [values.get(run, nothing) for run in ids],
                list(columns.words(table, "model")),
            )
            while len(self._titles) >= _TITLES_KEPT:
                self._titles.pop(next(iter(self._titles)), None)
            self._titles[asked] = told
        return self._titles[asked]

    def baselines(self, runs: Sequence[str]) -> list[str]:
        """Those of these runs that are pinned as baselines, the newest such pin first."""
        try:
            return self._labels.baselines(runs)
        except QuantscopeError:  # `trouble` says it
            return []

    def source(self, run: str) -> str:
        """The bundle that brought a run, or that it was measured here."""
        library = self._index.library
        origin = library.imports.origin(run)
        return tables.HERE if origin is None or library.owns(run) else origin.name

    @property
    def stamp(self) -> tuple[object, ...]:
        """Another value whenever the table has changed; cheap."""
        return (self._index.stamp, self._labels.stamp)

    @property
    def trouble(self) -> str:
        """Why labels cannot be read, in a sentence; empty where they can."""
        self.table()
        return self._trouble

    def _make(self) -> None:
        try:
            labels, self._trouble = self._labels.all(), ""
        except QuantscopeError as error:
            labels, self._trouble = {}, str(error)
        runs = self._index.summaries()
        self._rows = {run.id: self._row(run, labels.get(run.id, NOTHING)) for run in runs}
        self._all = tables.runs([row for *_, row in self._rows.values()])
        hidden = any(label.archived for _, label, *_ in self._rows.values())
        self._shown = self._all.loc[~self._all["archived"]] if hidden else self._all

    def _row(self, run: Summary, label: Label) -> tuple[Summary, Label, str, dict[str, Any]]:
        source, known = self.source(run.id), self._rows.get(run.id)
        if known and known[0] is run and known[1:3] == (label, source):
            return known
        return (run, label, source, tables.row(run, label, source))
