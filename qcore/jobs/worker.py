"""The child process that runs jobs, one after the other: `python -m qcore.jobs.worker ROOT JOB_ID`.

It makes sure that the job is its own, runs the pipeline, keeps the Report and writes down how the
job ended. When it finished well and the next in the queue wants the same network, the worker takes
that one too: importing torch and loading the network cost more than many a run. Otherwise it starts
whatever is next, so that a sweep goes on when the dashboard is gone. Whoever was cancelled or has
failed leaves: what it left in memory must not reach the next job.

A job that was taken over is a job like any other: its own row, events, log and signs of life. A
second thread gives those, and obeys a cancel even when no signal arrives.
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
from typing import TYPE_CHECKING, Protocol

from cache.store import Cache
from qcore.errors import QuantscopeError
from qcore.jobs import outcomes
from qcore.jobs.local import process
from qcore.jobs.local.backend import GRACE_SECONDS, LocalBackend
from qcore.jobs.protocol import Job, JobState
from qcore.jobs.recorder import Recorder
from qcore.machine.allocator import keep_freed_memory
from qcore.machine.home import cache_limit
from qcore.progress import Emit, Event
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Report

if TYPE_CHECKING:
    from qcore.pipeline import Session

BEAT_SECONDS = 1.0
RECORD_SECONDS = 60.0
"""How long to keep trying to write down the outcome when the disk is full."""
_LOG = logging.getLogger(__name__)


class RunRecipe(Protocol):
    """The signature of the pipeline's `run`."""

    def __call__(self, recipe: Recipe, *, cache: Cache, emit: Emit, device: str) -> Report:
        """Run a recipe and report."""
        ...


class Ensure(Protocol):
    """The pipeline's shape where one stage is wanted."""

    def __call__(
        self, recipe: Recipe, stage: str, *, cache: Cache, emit: Emit, device: str
    ) -> object:
        """Make sure that a stage's outcome is in the cache."""
        ...


def main(
    arguments: Sequence[str], *, run: RunRecipe | None = None, ensure: Ensure | None = None
) -> int:
    """Run the job named on the command line, and those it can take over; returns the exit status.

    Args:
        arguments: the home, and the job's id.
        run: in the pipeline's place.
        ensure: likewise.
    """
    _keep_output_from_failing()
    _volunteer_for_the_memory_killer()
    keep_freed_memory()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    root, job = arguments
    # The next worker is started the way this one was: the same interpreter and entry point.
    backend = LocalBackend(Path(root), command=sys.orig_argv[:-2])
    pipeline = _Pipeline(backend.root)
    return work(backend, job, run=run or pipeline.run, ensure=ensure or pipeline.ensure)


def work(backend: LocalBackend, job_id: str, *, run: RunRecipe, ensure: Ensure) -> int:
    """Run a job that a dispatcher has started under this process, and those it can take over.

    Returns:
        The exit status: that of the last job.
    """
    if not backend.table.is_mine(job_id, os.getpid()):
        return 0
    job: Job | None = backend.status(job_id)
    status = 0
    while job is not None:
        status, job = _work_on(backend, job, run, ensure)
        if job is not None:
            _print_to(backend.log_file(job.id))
    with contextlib.suppress(QuantscopeError):
        backend.tick()
    backend.close()
    return status


def _work_on(
    backend: LocalBackend, job: Job, run: RunRecipe, ensure: Ensure
) -> tuple[int, Job | None]:
    """Run one job; its exit status, and the job that this process has taken over."""
    pid = os.getpid()
    recorder = Recorder(backend.table, job.id, pid, backend.event_file(job.id))
    watch = _Watch(backend, job.id, pid)
    try:
        _STOPPED.clear()
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        recorder(Event("job", message=f"starting on {job.device}", kind="state"))
        state, message, report = _outcome(backend.root, job, run, ensure, recorder)
    except KeyboardInterrupt as error:  # a signal between two steps
        (state, message), report = outcomes.of_error(error), ""
    watch.stop()
    recorder.flush()
    kind = "error" if state is JobState.FAILED else "state"
    recorder(Event("job", message=message, kind=kind))
    recorded, following = _record(backend, job, pid, state, message, report)
    if not recorded:
        return outcomes.UNRECORDED, None
    return 0 if state is JobState.FINISHED else 1, following


def _outcome(
    root: Path, job: Job, run: RunRecipe, ensure: Ensure, emit: Emit
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
        state, message = outcomes.of_error(_cause(error))
        if state is JobState.FAILED:
            _LOG.exception("the job failed")
        return state, message, ""


def _record(
    backend: LocalBackend, job: Job, pid: int, state: JobState, message: str, report: str
) -> tuple[bool, Job | None]:
    """Write the outcome into the queue, patiently: it is all that is left of the job.

    Returns:
        Whether it is written, and the job that was taken over in the same step.
    """
    deadline = time.monotonic() + RECORD_SECONDS
    while True:
        try:
            return True, backend.hand_over(job, pid, state, message, report)
        except QuantscopeError as error:
            _LOG.warning("the outcome is not recorded yet: %s", error)
            if time.monotonic() > deadline:
                return False, None
            time.sleep(0.5)


class _Watch:
    """Beats for one job; when told to stop, passes it on as SIGTERM, and after the grace kills.

    Once `stop` has returned it sends no signal any more: the next one would hit the next job.
    """

    def __init__(self, backend: LocalBackend, job: str, pid: int):
        self._backend = backend
        self._job = job
        self._pid = pid
        self._ended = threading.Event()
        self._signalling = threading.Lock()
        threading.Thread(target=self._go, name=f"watch {job}", daemon=True).start()

    def stop(self) -> None:
        """Let the job be: it has ended."""
        with self._signalling:
            self._ended.set()

    def _go(self) -> None:
        stop_at = None
        while not self._ended.wait(BEAT_SECONDS):
            try:
                wanted = self._backend.table.beat(self._job, self._pid)
            except QuantscopeError:
                continue
            if wanted:
                continue
            with self._signalling:
                if self._ended.is_set():
                    return
                if stop_at is None:
                    stop_at = time.monotonic() + GRACE_SECONDS
                    os.kill(self._pid, signal.SIGTERM)
                elif time.monotonic() > stop_at and os.getpgid(0) == self._pid:
                    os.killpg(self._pid, signal.SIGKILL)


_STOPPED = threading.Event()
"""Set once this worker was told to stop."""


def _stop(number: int, frame: object) -> None:
    """Signal handler: unwind once; a second signal must not disturb the unwinding."""
    _ignore_signals()
    _STOPPED.set()
    raise KeyboardInterrupt


def _cause(error: BaseException) -> BaseException:
    """What ended the run: the signal, where one came, whatever arrives here.

    Native code that calls Python may put an error of its own in the interrupt's place: torch says
    that it "could not determine the shape of" whatever it was looking at.
    """
    return KeyboardInterrupt() if _STOPPED.is_set() else error


def _ignore_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Pipeline:
    """The pipeline, with the network that this process keeps between jobs.

    It is imported late: that takes seconds, and by then the job says what it is waiting for.
    """

    def __init__(self, root: Path):
        self._root = root
        self._session: Session | None = None

    def run(self, recipe: Recipe, *, cache: Cache, emit: Emit, device: str) -> Report:
        """The recipe's Report."""
        session = self._session_on(device, emit)
        from qcore.pipeline import run

        return run(recipe, cache=cache, emit=emit, device=device, session=session)

    def ensure(
        self, recipe: Recipe, stage: str, *, cache: Cache, emit: Emit, device: str
    ) -> object:
        """The stage's key."""
        session = self._session_on(device, emit)
        from qcore.pipeline import ensure

        return ensure(recipe, stage, cache=cache, emit=emit, device=device, session=session)

    def _session_on(self, device: str, emit: Emit) -> Session:
        if self._session is None or self._session.device != device:
            if "torch" not in sys.modules:
                emit(Event("load", message="importing torch"))
            from qcore.pipeline import Session

            self._session = Session(self._root, device)
        return self._session


def _print_to(log: Path) -> None:
    """Let this process, and what it starts, print into another file from now on."""
    sys.stdout.flush()
    sys.stderr.flush()
    output = process.open_log(log)
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
    finally:
        os.close(output)


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
    """Ask the kernel to end this worker first when memory runs out, not the dashboard."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
