"""The queue: every change whole or not at all, and never two jobs for one request."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from qcore.jobs.local.process import Worker
from qcore.jobs.local.table import Table
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe

RECIPES = [Recipe(seed=seed) for seed in range(4)]


def prepare(root: Path) -> None:
    """No queue yet: making it is part of what may be interrupted."""
    root.mkdir(parents=True)


def table(root: Path) -> Table:
    """The queue under `root`."""
    return Table(root / "jobs" / "queue.sqlite")


def act(root: Path) -> None:
    """Submit a sweep, run its first job, cancel the second, resume it."""
    queue = table(root)
    ids = queue.add(RECIPES)
    pid = os.getpid()
    for run in queue.running():  # left by a killed one
        queue.end(run.id, run.worker.pid, JobState.FAILED, "killed")
    with queue.transaction():
        job = queue.next_queued()
        assert job is not None
        queue.start(job.id, "cpu", Worker(pid, 1.0), "here")
    queue.progress(job.id, pid, "capture", 1, 4, "a window")
    queue.beat(job.id, pid)
    queue.end(job.id, pid, JobState.FINISHED, "finished", "ab" * 8)
    queue.ask_cancel("id = ?", ids[1])
    queue.requeue_all("sweep = ? ", queue.job(ids[1]).sweep)
    queue.close()


def check(root: Path) -> None:
    """The file is sound; the sweep is there whole or not at all; one running job at most."""
    queue = table(root)
    jobs = queue.jobs(100)
    assert len(jobs) in (0, len(RECIPES)), len(jobs)
    assert len({job.recipe.digest for job in jobs}) == len(jobs)
    assert len({job.sweep for job in jobs}) <= 1
    assert sum(job.state is JobState.RUNNING for job in jobs) <= 1
    queue.close()
    if (file := root / "jobs" / "queue.sqlite").exists():
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def finished(root: Path) -> None:
    """No request is live twice, one more job than before has finished, and nothing runs."""
    queue = table(root)
    jobs = queue.jobs(100)
    live = [job.recipe.digest for job in jobs if not job.state.ended]
    assert len(live) == len(set(live))
    assert {job.recipe.digest for job in jobs} == {recipe.digest for recipe in RECIPES}
    assert any(job.state is JobState.FINISHED and job.report == "ab" * 8 for job in jobs)
    assert not queue.running()
    queue.close()
