"""Stages as they happen: progress for whoever watches, timings for the Report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qcore.pipeline.keys import Keys
from qcore.progress import Emit, Event
from qcore.report.report import StageReport


@dataclass(slots=True)
class Step:
    """A stage while it runs. Call it as a Progress; set `cached` when the cache served it all."""

    name: str
    emit: Emit
    cached: bool = False
    total: int = 0

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Report progress inside the stage."""
        self.total = total
        self.emit(Event(self.name, done, total, message))


class Journal:
    """The stages of one run, in order."""

    def __init__(self, keys: Keys, emit: Emit):
        self.emit = emit
        self._keys = keys
        self.stages: list[StageReport] = []
        self.notes: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Step]:
        """Announce a stage, time it, and keep its row; a stage that raises leaves no row."""
        step = Step(name, self.emit)
        self.emit(Event(name, kind="stage"))
        start = time.perf_counter()
        yield step
        seconds = round(time.perf_counter() - start, 3)
        self.stages.append(StageReport(name, self._keys.key(name), seconds, step.cached))
        total = max(step.total, 1)
        self.emit(Event(name, total, total, kind="stage", cached=step.cached))

    def note(self, sentence: str) -> None:
        """A sentence that the reader of the Report must know; said once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.emit(Event("job", message=sentence, kind="warning"))
