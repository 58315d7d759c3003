"""What past runs on this machine took: the part of each Report that estimates learn from."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from qcore.pipeline.stage import stage_of
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
        peak_bytes: the largest memory of the process that ran it; None in older Reports,
            and where the process had run others before.
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
                elsewhere = self.library.imports.places()  # on another machine, at its speed
                self._runs = [
                    Past(run.recipe, run.created, run.model_digest, run.stages, run.peak_bytes)
                    for run in self._index.summaries()
                    if run.id not in elsewhere or self.library.owns(run.id)
                ]
                self._stamp = stamp
            return self._runs


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
    held = None
    for past in runs:
        same = past.model_digest == model_digest and past.recipe.model.dtype == recipe.model.dtype
        if not same or row.comparable(past.recipe) != row.comparable(recipe):
            continue
        for done in past.stages:
            if done.name == stage and not done.cached:
                if stage == "load" and done.seconds < _HELD_SECONDS:
                    held = done.seconds  # says nothing, unless every load is so short
                    continue
                units, before = row.units(recipe), row.units(past.recipe)
                return done.seconds * units / before if units and before else done.seconds
    return held


_HELD_SECONDS = 0.1
"""A load that took less found the network in memory, left there by the run before."""
