"""Sweeps: grouped before anything is cut, counted whole, cancelled and resumed whole."""

from __future__ import annotations

import pytest

from qcore.errors import JobError
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from tests.jobs.helpers_home import Home
from tests.jobs.helpers_worker import HOLD, QUICK

MANY = 300


@pytest.fixture
def queue(home: Home, monkeypatch: pytest.MonkeyPatch) -> LocalBackend:
    """A backend that starts nothing: rows alone."""
    monkeypatch.setattr(home.backend, "tick", lambda: None)
    return home.backend


def seeds(count: int, first: int = 0) -> list[Recipe]:
    return [Recipe(seed=first + number) for number in range(count)]


def put(queue: LocalBackend, state: str, *jobs: str) -> None:
    with queue.table.transaction() as sql:
        for job in jobs:
            sql.execute("UPDATE job SET state = ? WHERE id = ?", (state, job))


def test_a_large_sweep_is_one_entry_with_whole_numbers(queue: LocalBackend) -> None:
    jobs = queue.submit(seeds(MANY))
    (alone,) = queue.submit([Recipe(seed=1000)])
    put(queue, "running", jobs[7].id)
    put(queue, "finished", *[job.id for job in jobs[20:30]])
    first, second = queue.sweeps()
    assert (first.id, first.size, first.live) == (jobs[0].sweep, MANY, MANY - 10)
    assert first.states == {
        JobState.QUEUED: MANY - 11,
        JobState.RUNNING: 1,
        JobState.FINISHED: 10,
    }
    assert (second.id, second.size) == (alone.id, 1)
    assert queue.tally()[JobState.QUEUED] == MANY - 10
    shown = queue.sweep_jobs(first.id, count=24)
    assert [job.id for job in shown[:3]] == [jobs[7].id, jobs[0].id, jobs[1].id]
    assert len(shown) == 24
    rest = queue.sweep_jobs(first.id, first=24, count=MANY)
    assert {job.id for job in shown + rest} == {job.id for job in jobs}
    assert [job.id for job in queue.sweep_jobs(alone.id)] == [alone.id]


def test_what_runs_is_listed_however_old_it_is(queue: LocalBackend) -> None:
    jobs = queue.submit(seeds(MANY))
    put(queue, "running", jobs[0].id)
    assert jobs[0].id in {job.id for job in queue.jobs(limit=24)}
    assert len(queue.jobs(limit=24)) == 25


def test_live_sweeps_stand_before_newer_ones_that_ended(queue: LocalBackend) -> None:
    waits = queue.submit(seeds(2))
    runs = queue.submit(seeds(2, 10))
    ended = queue.submit(seeds(2, 20))
    put(queue, "running", runs[1].id)
    put(queue, "finished", *[job.id for job in ended])
    order = [sweep.id for sweep in queue.sweeps()]
    assert order == [runs[0].sweep, waits[0].sweep, ended[0].sweep]
    assert [sweep.id for sweep in queue.sweeps(first=1, count=1)] == [waits[0].sweep]


def test_states_choose_sweeps_and_jobs(queue: LocalBackend) -> None:
    mixed, other = queue.submit(seeds(3)), queue.submit(seeds(2, 10))
    put(queue, "failed", mixed[1].id)
    states = [JobState.FAILED, JobState.CANCELLED]
    (found,) = queue.sweeps(states)
    assert (found.id, found.size) == (mixed[0].sweep, 3), "its numbers are of all its jobs"
    assert queue.count_sweeps(states) == 1
    assert queue.count_sweeps() == 2
    assert [job.id for job in queue.sweep_jobs(found.id, states)] == [mixed[1].id]
    assert queue.sweep_jobs(other[0].sweep, states) == []


def test_cancelling_and_resuming_a_sweep_means_all_of_it_and_nothing_else(
    queue: LocalBackend,
) -> None:
    jobs, others = queue.submit(seeds(MANY)), queue.submit(seeds(2, 1000))
    put(queue, "finished", jobs[0].id)
    assert queue.cancel_sweep(jobs[0].sweep) == MANY - 1
    (cancelled,) = queue.sweeps([JobState.CANCELLED])
    assert cancelled.states == {JobState.FINISHED: 1, JobState.CANCELLED: MANY - 1}
    assert queue.cancel_sweep(jobs[0].sweep) == 0
    assert {queue.status(job.id).state for job in others} == {JobState.QUEUED}
    (twin,) = queue.submit([jobs[5].recipe])
    assert queue.resume_sweep(jobs[0].sweep) == MANY - 2, "one is live as another job"
    assert queue.status(jobs[5].id).state is JobState.CANCELLED
    assert queue.status(twin.id).state is JobState.QUEUED
    resumed = [job for job in queue.sweep_jobs(jobs[0].sweep, [JobState.QUEUED], count=MANY)]
    assert [job.recipe.seed for job in resumed] == [s for s in range(1, MANY) if s != 5]
    assert {job.attempt for job in resumed} == {2}


def test_a_cancelled_sweep_ends_its_worker_and_starts_no_other(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=HOLD), *seeds(3, QUICK)])
    home.begun()
    assert home.backend.cancel_sweep(jobs[0].sweep) == 4
    assert home.ended(jobs[0]).state is JobState.CANCELLED
    assert {home.backend.status(job.id).state for job in jobs} == {JobState.CANCELLED}
    assert len(home.diary("begin")) == 1


def test_a_finished_sweep_names_its_reports_in_order(home: Home) -> None:
    jobs = home.backend.submit(seeds(3, QUICK))
    ended = [home.ended(job) for job in jobs]
    (sweep,) = home.backend.sweeps()
    assert sweep.reports == tuple(job.report for job in ended)
    assert sweep.live == 0


def test_a_sweep_keeps_its_name_and_one_submitted_alone_has_none(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=HOLD), Recipe(seed=HOLD + 1)], name="Two holds")
    assert home.backend.sweep(jobs[0].sweep).name == "Two holds"
    assert [sweep.name for sweep in home.backend.sweeps()] == ["Two holds"]
    (alone,) = home.backend.submit([Recipe(seed=HOLD + 2)])
    assert home.backend.sweep(alone.id).name == ""
    with pytest.raises(JobError, match="there is no sweep"):
        home.backend.sweep("nothing")
    home.backend.cancel_sweep(jobs[0].sweep)
    home.backend.cancel(alone.id)


def test_a_job_put_first_runs_next_and_a_sweep_keeps_its_order(home: Home) -> None:
    running, *waiting = home.backend.submit([Recipe(seed=HOLD + index) for index in range(4)])
    later = home.backend.submit([Recipe(seed=HOLD + 10 + index) for index in range(2)])
    assert home.backend.queue() == [job.id for job in (*waiting, *later)]
    assert home.backend.run_next(waiting[2].id) == 1
    order = [waiting[2].id, waiting[0].id, waiting[1].id]
    assert home.backend.queue() == [*order, *(job.id for job in later)]
    assert home.backend.run_next(later[0].sweep) == 2
    assert home.backend.queue() == [*(job.id for job in later), *order]
    assert home.backend.run_next(running.id) == 0
    home.go()
    home.ended(waiting[1])
    seeds = [int(line[1]) for line in home.diary("begin")]
    assert seeds == [HOLD, HOLD + 10, HOLD + 11, HOLD + 3, HOLD + 1, HOLD + 2]
