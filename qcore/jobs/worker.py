"""The child process that runs one job: `python -m qcore.jobs.worker ROOT JOB_ID`.

It makes sure that the job is its own, runs the pipeline, keeps the Report, writes down how the job
ended, and starts whatever is next in the queue, so that a sweep goes on when the dashboard is
gone. A second thread gives signs of life and obeys a cancel even when no signal arrives.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cache.store import Cache
from qcore.errors import QuantscopeError
from qcore.jobs import outcomes
from qcore.jobs.local.backend import GRACE_SECONDS, LocalBackend
from qcore.jobs.protocol import Job, JobState
from qcore.jobs.recorder import Recorder
from qcore.machine.allocator import keep_freed_memory
from qcore.machine.home import cache_limit
from qcore.progress import Emit, Event
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Report

BEAT_SECONDS = 1.0
RECORD_SECONDS = 60.0
"""How long to keep trying to write down the outcome when the disk is full."""
_LOG = logging.getLogger(__name__)


class RunRecipe(Protocol):
    """The pipeline's shape."""

    def __call__(self, recipe: Recipe, *, cache: Cache, emit: Emit, device: str) -> Report:
        """Run a recipe and report."""
        ...


class EnsureStage(Protocol):
    """The pipeline's shape where one stage is wanted."""

    def __call__(
        self, recipe: Recipe, stage: str, *, cache: Cache, emit: Emit, device: str
    ) -> object:
        """Make sure that a stage's outcome is in the cache."""
        ...


def main(
    arguments: Sequence[str], *, run: RunRecipe | None = None, ensure: EnsureStage | None = None
) -> int:
    """Run the job named on the command line; returns the exit status."""
    _keep_output_from_failing()
    _volunteer_for_the_memory_killer()
    keep_freed_memory()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    root, job = arguments
    # The next worker is started the way this one was: the same interpreter and entry point.
    backend = LocalBackend(Path(root), command=sys.orig_argv[:-2])
    return work(backend, job, run=run or _run, ensure=ensure or _ensure)


def work(backend: LocalBackend, job_id: str, *, run: RunRecipe, ensure: EnsureStage) -> int:
    """Run one job that a dispatcher has started under this process; returns the exit status."""
    pid = os.getpid()
    if not backend.table.is_mine(job_id, pid):
        return 0
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    job = backend.status(job_id)
    recorder = Recorder(backend.table, job_id, pid, backend.event_file(job_id))
    ended = threading.Event()
    threading.Thread(target=_watch, args=(backend, job_id, pid, ended), daemon=True).start()
    try:
        recorder(Event("job", message=f"starting on {job.device}", kind="state"))
        state, message, report = _outcome(backend.root, job, run, ensure, recorder)
    except KeyboardInterrupt as error:  # a signal between two steps
        (state, message), report = outcomes.of_error(error), ""
    ended.set()
    recorder.flush()
    kind = "error" if state is JobState.FAILED else "state"
    recorder(Event("job", message=message, kind=kind))
    recorded = _record(backend, job_id, pid, state, message, report)
    with contextlib.suppress(QuantscopeError):
        backend.tick()
    backend.close()
    if not recorded:
        return outcomes.UNRECORDED
    return 0 if state is JobState.FINISHED else 1


def _outcome(
    root: Path, job: Job, run: RunRecipe, ensure: EnsureStage, emit: Emit
) -> tuple[JobState, str, str]:
    """(state, sentence, report id) of the run; whatever it raises becomes a sentence.

    A job that makes sure of a stage leaves no Report.
    """
    report = None
    try:
        with contextlib.closing(Cache(root / "cache", cache_limit())) as cache:
            if job.ensure:
                ensure(job.recipe, job.ensure, cache=cache, emit=emit, device=job.device)
            else:
                report = run(job.recipe, cache=cache, emit=emit, device=job.device)
        _ignore_signals()  # it is done: a cancel now comes too late
        return JobState.FINISHED, "finished", Library(root).add(report).id if report else ""
    except BaseException as error:
        _ignore_signals()
        state, message = outcomes.of_error(error)
        if state is JobState.FAILED:
            _LOG.exception("the job failed")
        return state, message, ""


def _record(
    backend: LocalBackend, job: str, pid: int, state: JobState, message: str, report: str
) -> bool:
    """Write the outcome into the queue, patiently: it is all that is left of the job."""
    deadline = time.monotonic() + RECORD_SECONDS
    while True:
        try:
            backend.table.end(job, pid, state, message, report)
            return True
        except QuantscopeError as error:
            _LOG.warning("the outcome is not recorded yet: %s", error)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)


def _watch(backend: LocalBackend, job: str, pid: int, ended: threading.Event) -> None:
    """Beat; when told to stop, pass it on as SIGTERM, and after the grace kill the group."""
    stop_at = None
    while not ended.wait(BEAT_SECONDS):
        try:
            wanted = backend.table.beat(job, pid)
        except QuantscopeError:
            continue
        if wanted:
            continue
        if stop_at is None:
            stop_at = time.monotonic() + GRACE_SECONDS
            os.kill(pid, signal.SIGTERM)
        elif time.monotonic() > stop_at and os.getpgid(0) == pid:
            os.killpg(pid, signal.SIGKILL)


def _stop(number: int, frame: object) -> None:
    """Signal handler: unwind once; a second signal must not disturb the unwinding."""
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# The pipeline is imported late: it takes seconds, and by then the job says that it is starting.


def _run(recipe: Recipe, *, cache: Cache, emit: Emit, device: str) -> Report:
    from qcore.pipeline import run

    return run(recipe, cache=cache, emit=emit, device=device)


def _ensure(recipe: Recipe, stage: str, *, cache: Cache, emit: Emit, device: str) -> str:
    from qcore.pipeline import ensure

    return ensure(recipe, stage, cache=cache, emit=emit, device=device)


class _Forgiving(io.FileIO):
    """A file that pretends to have written what a full disk refused."""

    def write(self, data, /):  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _keep_output_from_failing() -> None:
    """Make printing safe: libraries print, and a full disk would turn that into an exception."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = _Forgiving(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)


def _volunteer_for_the_memory_killer() -> None:
    """When the machine runs out of memory, it should take the worker, not the dashboard."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
