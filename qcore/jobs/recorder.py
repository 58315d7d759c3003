"""What a run says, written down: to the event file, and the newest of it into the job's row.

Progress inside a stage is thinned to a few lines per second; the first and the last line of a
stage, and everything that is not mere progress, always get through. A full disk costs lines, never
the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from pathlib import Path

from qcore.errors import QuantscopeError
from qcore.jobs import events
from qcore.jobs.local.table import Table
from qcore.progress import Event

INTERVAL_SECONDS = 0.2


class Recorder:
    """The `emit` of a worker.

    Args:
        table: the queue.
        job: the job's id.
        pid: the worker's PID.
        path: the job's event file.
    """

    def __init__(self, table: Table, job: str, pid: int, path: Path):
        self._table = table
        self._job = job
        self._pid = pid
        self._path = path
        self._lock = threading.RLock()
        self._stage = ""
        self._written = 0.0
        self._held: Event | None = None

    def __call__(self, event: Event) -> None:
        """Write an event, or hold it back until it is superseded or the stage changes."""
        with self._lock:
            last = event.total > 0 and event.done >= event.total
            soon = time.monotonic() - self._written < INTERVAL_SECONDS
            if event.kind == "progress" and event.stage == self._stage and soon and not last:
                self._held = event
                return
            if event.stage != self._stage or event.kind != "progress":
                self.flush()
            self._write(event)

    def flush(self) -> None:
        """Write the event that is held back, if any."""
        with self._lock:
            if self._held is not None:
                self._write(self._held)

    def _write(self, event: Event) -> None:
        self._held = None
        self._stage = event.stage
        self._written = time.monotonic()
        events.append(self._path, dataclasses.replace(event, job=self._job))
        with contextlib.suppress(QuantscopeError):
            self._table.progress(
                self._job, self._pid, event.stage, event.done, event.total, event.message
            )
