"""A home of the last landed version opens: its reports, its queue, its exact repeats.

`yesterday/` is such a home without its cache: two runs of the demo model and one that failed,
made by version 0.1.0. The queue stands there as the SQL that makes it, so that it can be read.
"""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
from pathlib import Path

import pytest

from cache.store import Cache
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from qcore.models import demo
from qcore.pipeline import run
from qcore.progress import Event
from qcore.recipe.titles import title_of
from qcore.report.library import Library

YESTERDAY = Path(__file__).with_name("yesterday")
INT8, FLOAT = "ca2f6ff30204d9b8", "d669b3b3773ca6b0"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    root = Path(shutil.copytree(YESTERDAY, tmp_path / "home"))
    text = (root / "jobs" / "queue.sql").read_text(encoding="utf-8")
    with sqlite3.connect(root / "jobs" / "queue.sqlite") as queue:
        queue.executescript(text)
    queue.close()
    return root


def test_yesterdays_reports_are_listed_and_say_what_they_said(home: Path) -> None:
    library = Library(home)
    assert set(library.ids()) == {INT8, FLOAT}
    report = library.get(INT8)
    assert title_of(report.recipe) == "W INT8 · RTN · absmax"
    perplexity = report.metric("perplexity")
    assert perplexity is not None
    assert perplexity.value == pytest.approx(34.3487, abs=1e-4)
    assert len(report.layers) == 210


def test_yesterdays_queue_is_listed_with_its_sentences(home: Path) -> None:
    jobs = {job.state: job for job in LocalBackend(home).jobs()}
    assert jobs[JobState.FINISHED].report in (INT8, FLOAT)
    assert "folder /models/gone does not exist" in jobs[JobState.FAILED].message
    events = LocalBackend(home).events(jobs[JobState.FAILED].id)
    assert [event.kind for event in events] == ["state", "error"]


@pytest.mark.demo
@pytest.mark.skipif(
    importlib.util.find_spec(demo.PACKAGE) is None, reason="the demo model is not installed"
)
def test_yesterdays_exact_repeats_are_answered_without_computing(home: Path) -> None:
    library = Library(home)
    for name in (INT8, FLOAT):
        heard: list[Event] = []
        kept = library.get(name)
        again = run(kept.recipe, cache=Cache(home / "cache"), emit=heard.append, root=home)
        assert again == kept
        assert [event.message for event in heard] == ["this exact run was finished before"]
