"""What past runs on this machine took: the part of each Report that estimates learn from."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.report import StageReport


@dataclass(frozen=True, slots=True)
class Past:
    """One finished run.

    Attributes:
        recipe: what was asked.
        created: seconds since the epoch.
        model_digest: of the network's files.
        stages: with their times.
        peak_bytes: the largest memory of the process that ran it; None in older Reports.
    """

    recipe: Recipe
    created: float
    model_digest: str
    stages: tuple[StageReport, ...]
    peak_bytes: int | None


class History:
    """The past runs of an index; safe to share between threads."""

    def __init__(self, index: Index):
        self.library = index.library
        self._index = index
        self._lock = threading.Lock()
        self._stamp: int | None = None
        self._runs: list[Past] = []

    def runs(self) -> list[Past]:
        """All runs that are known, newest first; to be read, not written."""
        with self._lock:
            stamp = self._index.stamp
            if stamp != self._stamp:
                self._runs = [
                    Past(run.recipe, run.created, run.model_digest, run.stages, run.peak_bytes)
                    for run in self._index.summaries()
                ]
                self._stamp = stamp
            return self._runs
