"""What any job engine offers: the embedded one here, a distributed one later."""

from __future__ import annotations

from collections.abc import Sequence
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


class Backend(Protocol):
    """A queue of jobs. Every method may be called from any process at any time."""

    def submit(self, recipes: Sequence[Recipe]) -> list[Job]:
        """Queue recipes, in order, as one sweep when there are several.

        A recipe that is already queued or running is not queued twice: its job is returned.
        """
        ...

    def jobs(self, limit: int = 200) -> list[Job]:
        """The newest jobs, newest first."""
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

    def events(self, job: str, after: int = 0) -> list[Event]:
        """The job's events from the `after`-th on, oldest first."""
        ...

    def logs(self, job: str, tail: int = 200) -> str:
        """The last lines that the worker printed."""
        ...

    def tick(self) -> None:
        """Notice dead workers and start queued jobs on free devices; cheap, call it often."""
        ...
