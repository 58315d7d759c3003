"""The embedded job engine: a table, and one process per device that works.

Nobody is in charge. Whoever calls `tick` (a page, the command line, a worker that has just ended)
does what is due: notices workers that died, kills those that outstay a cancel, starts queued jobs
on free devices. All of it goes through transactions on one table, so any number of dispatchers may
tick at once and any of them may be killed at any moment:

- A job is started *inside* the transaction that takes its lease. If the dispatcher dies before the
  commit, the row is still queued, and the newborn worker finds that the job is not its own and
  leaves.
- A worker that has finished may take over the next job (`hand_over`), in the step that ends its
  own; a signal is sent inside a transaction too, so that it never hits the wrong job.
- A worker is known by PID and birth, so a new dispatcher adopts the ones that run and tells a
  reused PID from the real thing.

    root/jobs/queue.sqlite          the table
    root/jobs/ID/events.jsonl       what the job says about itself
    root/jobs/ID/log.txt            what its worker printed
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from qcore.errors import JobError
from qcore.jobs import events, outcomes
from qcore.jobs.local import device_lock, leases, process, sweeps
from qcore.jobs.local.table import Run, Table
from qcore.jobs.protocol import Job, JobState, Sweep
from qcore.machine import threads
from qcore.progress import Event
from qcore.recipe import Recipe

GRACE_SECONDS = 3.0
"""From SIGTERM to SIGKILL."""
SILENCE_SECONDS = 60.0
"""How long a worker whose PID we cannot see may go without a heartbeat."""
CHECKOUT = Path(__file__).resolve().parents[3]
_ID = re.compile(r"[0-9a-f]{12}")


class LocalBackend:
    """A queue of jobs on this machine; implements `qcore.jobs.protocol.Backend`.

    Args:
        root: Quantscope's home.
        command: what starts a worker; `root` and a job's id are appended.
        devices: the leases; found when not given.
    """

    def __init__(
        self,
        root: Path,
        *,
        command: Sequence[str] | None = None,
        devices: Sequence[str] | None = None,
    ):
        self.root = root.resolve()
        self._given = tuple(devices or ())
        self.table = Table(self.root / "jobs" / "queue.sqlite")
        self._reader = events.Reader()
        self._command = tuple(command or (sys.executable, "-m", "qcore.jobs.worker"))

    @functools.cached_property
    def devices(self) -> tuple[str, ...]:
        """The leases; looked up when the first job waits, for asking about GPUs takes seconds."""
        return self._given or leases.leases()

    def submit(self, recipes: Sequence[Recipe], *, ensure: str = "", name: str = "") -> list[Job]:
        """Queue recipes, in order, and start what can start.

        A recipe that is already queued or running for the same is not queued twice: its job is
        returned.

        Args:
            recipes: what to run.
            ensure: name of the one stage of each that is to be in the cache afterwards; empty for
                whole runs.
            name: what to call the sweep.

        Raises:
            InvalidRecipe: a recipe has no such stage; nothing was queued.
            DiskFull: nothing was queued.
        """
        if ensure:
            from qcore.pipeline import require_stage  # nobody else here waits for the pipeline

            for recipe in recipes:
                require_stage(recipe, ensure)
        ids = self.table.add(recipes, ensure, name)
        self.tick()
        return [self.table.job(job) for job in ids]

    def jobs(self, limit: int = 200) -> list[Job]:
        """The newest jobs, newest first, and all that run; rows of another version left out."""
        return self.table.jobs(limit)

    def tally(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        return sweeps.tally(self.table)

    def sweeps(
        self, states: Collection[JobState] = (), *, first: int = 0, count: int = 24
    ) -> list[Sweep]:
        """Sweeps with a job in one of the states: running ones, waiting ones, then the newest."""
        return sweeps.listed(self.table, states, first, count)

    def count_sweeps(self, states: Collection[JobState] = ()) -> int:
        """How many sweeps there are for `sweeps` to list."""
        return sweeps.counted(self.table, states)

    def sweep_jobs(
        self, sweep: str, states: Collection[JobState] = (), *, first: int = 0, count: int = 24
    ) -> list[Job]:
        """Jobs of a sweep: what runs first, then what went wrong, then the rest in order."""
        return sweeps.jobs(self.table, sweep, states, first, count)

    def sweep(self, sweep: str) -> Sweep:
        """One sweep. Raises JobError when there is none of that id."""
        found = sweeps.one(self.table, sweep)
        if found is None:
            raise JobError(f"there is no sweep {sweep[:40]!r}", remedy="see the Jobs page")
        return found

    def queue(self) -> list[str]:
        """The ids of the queued jobs, in the order in which they will start."""
        return self.table.queue()

    def run_next(self, name: str) -> int:
        """Put a queued job, or all that is queued of a sweep, at the head of the queue.

        Returns:
            How many jobs that were; 0 where nothing of that id is queued any more.
        """
        by_id = self.table.put_first("id = ?", name)
        return by_id or self.table.put_first(sweeps.MEMBER, name)

    def status(self, job: str) -> Job:
        """One job. Raises JobError when there is none of that id."""
        return self.table.job(job)

    def cancel(self, job: str) -> Job:
        """Ask a job to stop; returns at once, and the device is free within seconds.

        An ended job stays as it is. A worker that ignores SIGTERM is killed after `GRACE_SECONDS`,
        by itself or by the next tick.
        """
        self.table.job(job)
        self._stop("id = ?", job)
        return self.table.job(job)

    def resume(self, job: str) -> Job:
        """Queue an ended job again; it continues from its last cached stage.

        Raises:
            JobError: it has not ended, or its recipe is live as another job.
        """
        self.table.job(job)
        self.table.requeue(job)
        self.tick()
        return self.table.job(job)

    def cancel_sweep(self, sweep: str) -> int:
        """Ask every job of a sweep that has not ended to stop; none of them starts in between."""
        return self._stop(sweeps.MEMBER, sweep)

    def resume_sweep(self, sweep: str) -> int:
        """Queue every failed or cancelled job of a sweep again, in order.

        Those that are live as another job are left out.
        """
        count = self.table.requeue_all(sweeps.MEMBER, sweep)
        self.tick()
        return count

    def events(self, job: str, after: int = 0) -> list[Event]:
        """The job's events from the `after`-th on, oldest first.

        Costs what was appended since the last call that had read as far.
        """
        return self._reader.read(self.event_file(job), after)

    def logs(self, job: str, tail: int = 200) -> str:
        """The last lines that the worker printed."""
        return events.tail(self.log_file(job), tail)

    def tick(self) -> None:
        """Notice dead workers and start queued jobs on free devices; cheap, call it often."""
        running = self.running()
        for run in running:
            self._judge(run)
        process.reap({run.worker.pid for run in running})
        while self.table.waiting() and self._start_next():
            pass

    def hand_over(
        self, job: Job, pid: int, state: JobState, message: str, report: str = ""
    ) -> Job | None:
        """End a job of the worker `pid`, and start the next one under it if it can take that over.

        It can when it finished, the first in the queue wants the same network, and no command
        holds the device. All of it is one step: nobody else starts a job in between, and a worker
        that dies here has taken nothing.

        Returns:
            The job that has started under the worker; None when it has nothing more to do.
        """
        with self.table.transaction():
            run = next((run for run in self.running() if run.id == job.id), None)
            if run is None or not self.table.end(job.id, pid, state, message, report):
                return None
            if state is not JobState.FINISHED or device_lock.is_held(self.root, run.device):
                return None
            following = self.table.next_queued()
            if following is None or following.recipe.model != job.recipe.model:
                return None
            self.table.start(following.id, run.device, run.worker, run.place)
        return self.table.job(following.id)

    def close(self) -> None:
        """Close the table; running jobs go on."""
        self.table.close()

    def event_file(self, job: str) -> Path:
        """Path of the job's events."""
        return self._folder(job) / "events.jsonl"

    def log_file(self, job: str) -> Path:
        """Path of its worker's output."""
        return self._folder(job) / "log.txt"

    def _folder(self, job: str) -> Path:
        if not _ID.fullmatch(job):
            raise JobError(f"{job[:40]!r} is no job id", remedy="see the Jobs page for ids")
        return self.root / "jobs" / job

    def running(self) -> list[Run]:
        """Every running job, as those who must keep out of its way see it."""
        return self.table.running()

    def _stop(self, where: str, value: str) -> int:
        """Cancel the jobs of an SQL condition; returns how many had not ended."""
        asked = self.table.ask_cancel(where, value)
        for run in self.running():
            if run.id in asked and run.place == process.here():
                self._signal(run, signal.SIGTERM)
        self.tick()
        return len(asked)

    def _judge(self, run: Run) -> None:
        """End a job whose worker is dead; kill a worker that outstays its cancel."""
        if run.place != process.here():
            silence = time.time() - run.heartbeat
            if silence > SILENCE_SECONDS:
                self._end(run, outcomes.of_silence(silence))
        elif not process.alive(run.worker):
            code = process.exit_code(run.worker)
            process.kill_leftovers(run.worker)
            self._end(run, outcomes.of_death(code))
        elif run.cancel is not None and time.time() - run.cancel > GRACE_SECONDS:
            self._signal(run, signal.SIGKILL)

    def _signal(self, run: Run, number: signal.Signals) -> None:
        """Signal a job's worker, unless the worker has another job by now."""
        with self.table.transaction():  # no worker takes over a job meanwhile
            if any((now.id, now.worker) == (run.id, run.worker) for now in self.running()):
                process.signal_group(run.worker, number)

    def _end(self, run: Run, sentence: str) -> None:
        state = JobState.FAILED if run.cancel is None else JobState.CANCELLED
        message = sentence if run.cancel is None else outcomes.CANCELLED
        if self.table.end(run.id, run.worker.pid, state, message):
            kind = "error" if state is JobState.FAILED else "state"
            events.append(self.event_file(run.id), Event("job", 0, 0, message, kind, job=run.id))

    def _start_next(self) -> bool:
        """Start the first queued job on the first free device; False when nothing can start."""
        devices = self.devices  # before the transaction: nobody should wait for the look-up
        with self.table.transaction():
            taken = {run.device for run in self.running()}
            free = [
                device
                for device in devices
                if device not in taken and not device_lock.is_held(self.root, device)
            ]
            job = self.table.next_queued() if free else None
            if job is None:
                return False
            try:
                worker = process.spawn(
                    [*self._command, str(self.root), job.id],
                    cwd=CHECKOUT,
                    log=self.log_file(job.id),
                    environment=self._environment(),
                )
            except OSError as error:
                self.table.fail_queued(job.id, outcomes.of_refusal(error))
                return True
            self.table.start(job.id, free[0], worker, process.here())
        return True

    def _environment(self) -> dict[str, str]:
        return {
            "QUANTSCOPE_HOME": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",  # a crash in native code leaves its stack in the log
            "TOKENIZERS_PARALLELISM": "false",
            **threads.environment(os.environ),
            **leases.environment(self.devices),
        }
