"""What past runs on this machine took: the part of each Report that estimates learn from.

A library of thousands of Reports must not be read on every click of a form. Its folder's stamp says
whether anything came or went; then only new Reports are read, and little of each is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from qcore.errors import QuantscopeError
from qcore.pipeline.stage import stage_of
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import StageReport

TICK_NS = 50_000_000
"""File systems stamp coarsely: two changes within this time may carry the same stamp."""


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
    """The past runs of a library, each read once; safe to share between threads."""

    def __init__(self, library: Library):
        self.library = library
        self._lock = threading.Lock()
        self._known: dict[str, Past | None] = {}
        self._runs: list[Past] = []
        self._stamp: int | None = None

    def runs(self) -> list[Past]:
        """All readable runs, newest first; to be read, not written."""
        with self._lock:
            stamp = self.library.stamp()
            if stamp != self._stamp:
                self._read_new()
                self._stamp = stamp if time.time_ns() - stamp > TICK_NS else None
            return self._runs

    def _read_new(self) -> None:
        ids = self.library.ids()
        if self._known.keys() == set(ids):
            return
        known = self._known
        self._known = {name: known[name] if name in known else self._past(name) for name in ids}
        found = [past for past in self._known.values() if past is not None]
        self._runs = sorted(found, key=lambda past: past.created, reverse=True)

    def _past(self, name: str) -> Past | None:
        try:
            report = self.library.get(name)
        except QuantscopeError:
            return None  # unreadable: the library leaves such files out too
        where = report.environment
        return Past(
            report.recipe, report.created, where.model_digest, report.stages, where.peak_bytes
        )


def seconds_of(stage: str, recipe: Recipe, model_digest: str, runs: Iterable[Past]) -> float | None:
    """What a stage of a recipe took the last time, at this recipe's tokens or questions.

    Args:
        stage: its name.
        recipe: what is to be run.
        model_digest: of the network's files; times of other networks say nothing.
        runs: newest first.

    Returns:
        None where no comparable run has computed the stage.
    """
    row, _ = stage_of(recipe, stage)
    for past in runs:
        same = past.model_digest == model_digest and past.recipe.model.dtype == recipe.model.dtype
        if not same or row.comparable(past.recipe) != row.comparable(recipe):
            continue
        for done in past.stages:
            if done.name == stage and not done.cached:
                units, before = row.units(recipe), row.units(past.recipe)
                return done.seconds * units / before if units and before else done.seconds
    return None
