"""A job's events to what a person wants to know: which stage, how far, how long still. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pages._ui import wording
from qcore.jobs.protocol import Job, JobState
from qcore.pipeline import stage_names
from qcore.progress import Event

KEPT_WARNINGS = 20
"""Different warnings of a job that are kept to be drawn."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage of a job.

    Attributes:
        name: the stage.
        state: `waiting`, `running`, `done`, `cached` or `stopped`.
        done: units finished, of `total`; 0 of 0 when not known.
        seconds: time spent in it so far.
        left: seconds to its end at the pace so far; None when not known.
        message: its newest sentence.
    """

    name: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    left: float | None = None
    message: str = ""


class Timeline:
    """The stages of one job, from events that arrive bit by bit.

    Attributes:
        seen: how many events it was given.
    """

    def __init__(self, job: Job):
        self.seen = 0
        self._job = job
        self._warnings: dict[str, int] = {}
        self._dropped = 0
        self._restart()

    def feed(self, events: Iterable[Event]) -> Timeline:
        """Take in the next events, oldest first; returns itself."""
        for event in events:
            self.seen += 1
            if event.kind == "warning":
                self._warnings[event.message] = self._warnings.pop(event.message, 0) + 1
                if len(self._warnings) > KEPT_WARNINGS:
                    oldest = next(iter(self._warnings))
                    self._dropped += self._warnings.pop(oldest)
            if event.stage != "job":
                self._take(event)
            elif event.kind == "state" and event.message.startswith("starting"):
                self._restart()
        return self

    def steps(self, job: Job, now: float) -> list[StageProgress]:
        """The stages in order since the job's newest start.

        Args:
            job: the same job as it stands.
            now: seconds since the epoch, for the stage that is running.
        """
        found = dict(self._found)
        if self._current:
            begun = self._begun[self._current]
            found[self._current] = _extrapolated(found[self._current], job, begun, now)
        return list(found.values())

    def warnings(self) -> tuple[dict[str, int], int]:
        """The newest different warnings with how often each came; how many older ones there are."""
        return dict(self._warnings), self._dropped

    def _restart(self) -> None:
        self._found = _expected(self._job)
        self._begun: dict[str, float] = {}
        self._current = ""

    def _take(self, event: Event) -> None:
        if event.stage not in self._found:
            self._found = _insert(self._found, event.stage)
        start = self._begun.setdefault(event.stage, event.time)
        step = self._found[event.stage]
        ended = event.kind == "stage" and event.done >= event.total > 0
        counted = event.kind != "warning"
        self._found[event.stage] = StageProgress(
            name=step.name,
            state=("cached" if event.cached else "done") if ended else "running",
            done=max(event.done, 0) if counted else step.done,
            total=event.total if counted else step.total,
            seconds=max(event.time - start, 0.0),
            message=event.message or step.message,
        )
        self._current = "" if ended else event.stage


def steps(job: Job, events: Iterable[Event], now: float) -> list[StageProgress]:
    """The stages of a job in order, from all its events since its newest start.

    Args:
        job: for its recipe and state.
        events: oldest first.
        now: seconds since the epoch, for the stage that is running.
    """
    return Timeline(job).feed(events).steps(job, now)


def happened(events: Iterable[Event]) -> list[str]:
    """What a job did, a line each, the newest last: `14:05:09 quantize: from the cache`."""
    lines: list[str] = []
    begun: dict[str, float] = {}
    for event in events:
        if event.kind not in ("stage", "state", "error"):
            continue
        at = time.strftime("%H:%M:%S", time.localtime(event.time))
        if event.kind != "stage":
            lines.append(f"{at} {event.message}")
        elif event.done >= event.total > 0:
            took = wording.duration(event.time - begun.get(event.stage, event.time))
            lines.append(f"{at} {event.stage}: {'from the cache' if event.cached else took}")
        else:
            begun[event.stage] = event.time
            lines.append(f"{at} {event.stage} begins")
    return lines[-KEPT_LINES:]


KEPT_LINES = 60


def left(job: Job, stages: Sequence[StageProgress]) -> float | None:
    """Seconds to the end of the stage that runs; None when not known."""
    running = [step for step in stages if step.state == "running"]
    return running[-1].left if job.state is JobState.RUNNING and running else None


def elapsed(job: Job, now: float) -> float | None:
    """Seconds since the job's newest start; None before it."""
    if job.started is None:
        return None
    return max((job.ended if job.state.ended and job.ended else now) - job.started, 0.0)


def _expected(job: Job) -> dict[str, StageProgress]:
    """The stages to come; before one that is wanted, nobody knows yet which the cache lacks."""
    names = [job.ensure] if job.ensure else stage_names(job.recipe)
    return {name: StageProgress(name) for name in names}


def _extrapolated(step: StageProgress, job: Job, begun: float, now: float) -> StageProgress:
    if job.state is not JobState.RUNNING:
        return replace(step, state="stopped")
    pace = step.seconds / step.done if step.done and step.seconds > 0 else None
    spent = max(now - begun, step.seconds)
    rest = None
    if pace is not None and step.total > step.done:
        rest = max(pace * step.total - spent, 0.0)
    return replace(step, seconds=spent, left=rest)


def _insert(found: dict[str, StageProgress], name: str) -> dict[str, StageProgress]:
    """A stage that was not expected goes before the first that has not begun."""
    waiting = next((key for key, step in found.items() if step.state == "waiting"), None)
    result: dict[str, StageProgress] = {}
    for key, step in found.items():
        if key == waiting:
            result[name] = StageProgress(name)
        result[key] = step
    result.setdefault(name, StageProgress(name))
    return result
