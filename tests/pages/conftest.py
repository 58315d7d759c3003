"""A home of its own, reports made by hand, and a queue that remembers what it was asked."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from pages._ui import engine
from qcore.errors import JobError
from qcore.jobs.protocol import Job, JobState, Sweep
from qcore.pipeline import stage_names
from qcore.pipeline.planning.schedule import Expected
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.report.library import Library

_APP = Path(__file__).resolve().parents[2] / "dashboard.py"


class Queue:
    """A Backend that keeps jobs in a list and runs nothing."""

    def __init__(self):
        self.all: list[Job] = []
        self.submitted: list[Recipe] = []
        self.ensured: list[str] = []
        self.names: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.history: dict[str, list[Event]] = {}

    def add(self, recipe: Recipe, state: JobState, **values) -> Job:
        job = Job(f"{len(self.all):012x}", recipe, state, time.time(), **values)
        self.all.insert(0, job)
        return job

    def submit(self, recipes, *, ensure="", name=""):
        self.submitted += recipes
        self.names.append(name)
        self.ensured += [ensure] * len(recipes)
        sweep = "s" if len(recipes) > 1 else ""
        return [self.add(recipe, JobState.QUEUED, sweep=sweep, ensure=ensure) for recipe in recipes]

    def jobs(self, limit=200):
        return self.all[:limit]

    def tally(self):
        return dict(Counter(job.state for job in self.all))

    def sweeps(self, states=(), *, first=0, count=24):
        return self._sweeps(states)[first : first + count]

    def count_sweeps(self, states=()):
        return len(self._sweeps(states))

    def sweep_jobs(self, sweep, states=(), *, first=0, count=24):
        found = [
            job
            for job in self.all[::-1]
            if (job.sweep or job.id) == sweep and (not states or job.state in states)
        ]
        return found[first : first + count]

    def sweep(self, sweep):
        found = next((item for item in self._sweeps(()) if item.id == sweep), None)
        if found is None:
            raise JobError(f"there is no sweep {sweep}", remedy="see the Jobs page")
        return found

    def queue(self):
        return [job.id for job in self.all[::-1] if job.state is JobState.QUEUED]

    def run_next(self, name):
        self.asked.append(("run next", name))
        return 1

    def cancel_sweep(self, sweep):
        self.asked.append(("cancel sweep", sweep))
        return len(self.sweep_jobs(sweep, count=10**6))

    def resume_sweep(self, sweep):
        self.asked.append(("resume sweep", sweep))
        return len(self.sweep_jobs(sweep, count=10**6))

    def _sweeps(self, states):
        groups: dict[str, list[Job]] = {}
        for job in self.all:
            groups.setdefault(job.sweep or job.id, []).append(job)
        return [
            Sweep(
                name,
                jobs[0].created,
                Counter(job.state for job in jobs),
                tuple(job.report for job in jobs if job.report),
                "Demo sweep" if len(jobs) > 1 else "",
            )
            for name, jobs in groups.items()
            if not states or any(job.state in states for job in jobs)
        ]

    def status(self, job):
        found = next((item for item in self.all if item.id == job), None)
        if found is None:
            raise JobError(f"there is no job {job}", remedy="see the Jobs page")
        return found

    def cancel(self, job):
        self.asked.append(("cancel", job))
        return self.status(job)

    def resume(self, job):
        self.asked.append(("resume", job))
        return self.status(job)

    def events(self, job, after=0):
        return self.history.get(job, [])[after:]

    def logs(self, job, tail=200):
        return "a line that the worker printed"

    def tick(self):
        pass


@dataclass
class Bench:
    """What a page test holds: the library, the queue, and the running app."""

    library: Library
    queue: Queue
    app: AppTest

    def open(self, page: str = "home", **query: str) -> AppTest:
        """The page, run once."""
        if page != "home":
            self.app.run()
            self.app.switch_page(f"pages/{page}.py")
        for key, value in query.items():
            self.app.query_params[key] = value
        self.app.run()
        assert not self.app.exception, [item.value for item in self.app.exception]
        return self.app


_begin = PagesManager.__init__


def _as_after_the_first_visit(manager: PagesManager, *arguments, **options) -> None:
    """AppTest makes every run a fresh server's first; `pages._ui.entry` is about that one run."""
    PagesManager.uses_pages_directory = False
    _begin(manager, *arguments, **options)


@pytest.fixture(autouse=True)
def _visited_before(monkeypatch) -> None:
    monkeypatch.setattr(PagesManager, "__init__", _as_after_the_first_visit)


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    """The dashboard over an empty home; previews cost nothing to make."""
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    queue = Queue()
    monkeypatch.setattr(engine, "backend", lambda: queue)
    holds_nothing = SimpleNamespace(
        size=lambda: 12_300_000, record=lambda key: None, artifact=lambda key: None
    )
    monkeypatch.setattr(engine, "cache", lambda: holds_nothing)
    monkeypatch.setattr(
        engine,
        "preview",
        lambda recipes: SimpleNamespace(
            runs=len(recipes),
            finished=1,
            stages=7,
            cached=3,
            shared=2,
            seconds=61.0,
            memory=2 << 30,
            disk=450_000_000,
            unseen=(),
            notes=(),
            timed=61.0,
            untimed=(),
            probes=0,
        ),
    )
    monkeypatch.setattr(
        engine,
        "schedule",
        lambda recipes: [
            tuple(Expected(name, 10.0) for name in stage_names(recipe)) for recipe in recipes
        ],
    )
    return Bench(Library(tmp_path), queue, AppTest.from_file(_APP, default_timeout=60))
