"""What any job engine offers: the embedded one here, a distributed one later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qcore.progress import Event
from qcore.recipe import Recipe


class JobState(StrEnum):
    """A job's life: queued → running → finished, failed or cancelled."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """One submitted recipe.

    Attributes:
        id: twelve hexadecimal digits.
        recipe: what to run.
        state: see JobState.
        created: seconds since the epoch; so are `started` and `ended`.
        sweep: id shared by jobs that were submitted together; empty for a single one.
        device: the leased device while running and after, such as `cpu` or `cuda:0`.
        message: the sentence that explains a failure; otherwise the newest progress message.
        report: the Report's id once finished.
        attempt: 1, raised by every resume.
        stage: the newest event's stage, with its `done` of `total`.
        ensure: the one stage that is to be in the cache when the job ends; empty for a whole run,
            which ends with a Report.
    """

    id: str
    recipe: Recipe
    state: JobState
    created: float
    started: float | None = None
    ended: float | None = None
    sweep: str = ""
    device: str = ""
    message: str = ""
    report: str = ""
    attempt: int = 1
    stage: str = ""
    done: int = 0
    total: int = 0
    ensure: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Jobs that were submitted together; a job that was submitted alone is a sweep of one.

    Attributes:
        id: of the sweep; for a job alone, the job's.
        created: seconds since the epoch.
        states: how many of its jobs are in each state; none of them is 0.
        reports: ids of the Reports that it has brought, in the order of its jobs.
        name: what it was called when it was submitted; may be empty.
    """

    id: str
    created: float
    states: Mapping[JobState, int]
    reports: tuple[str, ...] = ()
    name: str = ""

    @property
    def size(self) -> int:
        """Its jobs."""
        return sum(self.states.values())

    def count(self, *states: JobState) -> int:
        """How many of its jobs are in one of these states."""
        return sum(self.states.get(state, 0) for state in states)

    @property
    def live(self) -> int:
        """How many of its jobs have not ended."""
        return self.count(JobState.QUEUED, JobState.RUNNING)


class Backend(Protocol):
    """A queue of jobs. Every method may be called from any process at any time."""

    def submit(self, recipes: Sequence[Recipe], *, ensure: str = "", name: str = "") -> list[Job]:
        """Queue recipes, in order, as one sweep when there are several.

        A recipe that is already queued or running for the same is not queued twice: its job is
        returned.

        Args:
            recipes: what to run.
            ensure: name of the one stage of each that is to be in the cache afterwards, such as
                `capture`; empty for whole runs. It is no part of the recipe.
            name: what to call the sweep.

        Raises:
            InvalidRecipe: a recipe has no such stage; nothing was queued.
        """
        ...

    def jobs(self, limit: int = 200) -> list[Job]:
        """The newest jobs, newest first, and every running one, however old."""
        ...

    def tally(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        ...

    def sweeps(
        self, states: Collection[JobState] = (), *, first: int = 0, count: int = 24
    ) -> list[Sweep]:
        """Sweeps, those that are running first, then those that wait, then the newest.

        Args:
            states: only sweeps with a job in one of these; all by default.
            first: sweeps to skip.
            count: sweeps at most.
        """
        ...

    def count_sweeps(self, states: Collection[JobState] = ()) -> int:
        """How many sweeps there are for `sweeps` to list."""
        ...

    def sweep_jobs(
        self, sweep: str, states: Collection[JobState] = (), *, first: int = 0, count: int = 24
    ) -> list[Job]:
        """Jobs of a sweep: what runs first, then what went wrong, then the rest in order.

        Args:
            sweep: its id, or that of a job that was submitted alone.
            states: only jobs in one of these; all by default.
            first: jobs to skip.
            count: jobs at most.
        """
        ...

    def sweep(self, sweep: str) -> Sweep:
        """One sweep. Raises JobError when there is none of that id."""
        ...

    def queue(self) -> list[str]:
        """The ids of the queued jobs, in the order in which they will start."""
        ...

    def run_next(self, name: str) -> int:
        """Put a queued job, or all that is queued of a sweep, at the head of the queue.

        Args:
            name: the id of a job or of a sweep.

        Returns:
            How many jobs that were; 0 where nothing of that id is queued any more.
        """
        ...

    def status(self, job: str) -> Job:
        """One job. Raises JobError when there is none of that id."""
        ...

    def cancel(self, job: str) -> Job:
        """Ask a job to stop; its device is free within seconds."""
        ...

    def resume(self, job: str) -> Job:
        """Queue an ended job again; it continues from its last cached stage."""
        ...

    def cancel_sweep(self, sweep: str) -> int:
        """Ask every job of a sweep that has not ended to stop; returns how many there were."""
        ...

    def resume_sweep(self, sweep: str) -> int:
        """Queue every failed or cancelled job of a sweep again, in order; returns how many."""
        ...

    def events(self, job: str, after: int = 0) -> list[Event]:
        """The job's events from the `after`-th on, oldest first; cheap where few are new."""
        ...

    def logs(self, job: str, tail: int = 200) -> str:
        """The last lines that the worker printed."""
        ...

    def tick(self) -> None:
        """Notice dead workers and start queued jobs on free devices; cheap, call it often."""
        ...
