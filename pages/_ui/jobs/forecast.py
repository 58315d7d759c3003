"""How far a job is and how long it will still take, from what its stages take on this machine.

Pure. A stage that has ended counts by the time it took, one that runs by its own pace as soon as it
has one, one that waits by what it is expected to take; nothing where the cache has it. So a bar
that stands at the half has half of the time behind it, whichever stages are long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pages._ui.jobs.timeline import StageProgress
from qcore.jobs.protocol import Job, JobState

_UNKNOWN_SECONDS = 5.0
"""What a stage counts in a bar when nobody knows how long it takes."""

Stages = Mapping[str, float | None]
"""Stage → seconds that it is expected to take; 0 where the cache has it, None where unknown."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """The jobs that have not ended.

    Attributes:
        jobs: those that run, then those that wait in the order in which they start.
        expected: job → what its stages will take.
    """

    jobs: tuple[Job, ...] = ()
    expected: Mapping[str, Stages] = field(default_factory=dict)

    def place(self, job: str) -> int | None:
        """The place of a queued job in the queue, from 1 on."""
        waiting = [item.id for item in self.jobs if item.state is JobState.QUEUED]
        return waiting.index(job) + 1 if job in waiting else None

    def waiting_seconds(self, job: str) -> float | None:
        """What a queued job will take; None where a stage is unknown."""
        return _sum(self.expected.get(job, {"": None}).values())


def left(job: Job, stages: Sequence[StageProgress], expected: Stages) -> float | None:
    """Seconds to the end of a job that runs; None where a stage to come is unknown."""
    if job.state is not JobState.RUNNING:
        return None
    return _sum(_rest(step, expected) for step in stages if step.state in ("waiting", "running"))


def fraction(job: Job, stages: Sequence[StageProgress], expected: Stages) -> float:
    """How much of a job's time has passed, 0 to 1."""
    if job.state is JobState.FINISHED:
        return 1.0
    spent = rest = 0.0
    for step in stages:
        if step.state in ("waiting", "running"):
            seconds = _rest(step, expected)
            rest += _UNKNOWN_SECONDS if seconds is None else seconds
        spent += step.seconds
    return spent / (spent + rest) if spent + rest > 0 else 0.0


def _rest(step: StageProgress, expected: Stages) -> float | None:
    """Seconds that a stage will still take."""
    if step.left is not None:
        return step.left
    seconds = expected.get(step.name)
    if seconds is None:
        return None
    return max(seconds - step.seconds, 0.0) if step.state == "running" else seconds


def _sum(parts: Iterable[float | None]) -> float | None:
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
