"""A worker that takes over the next job: one process, and still each a job of its own."""

import itertools
import os
import signal

import pytest

from qcore.jobs.local import device_lock
from qcore.jobs.protocol import JobState
from qcore.recipe import ModelRef, Recipe
from tests.jobs.helpers_home import Home, wait
from tests.jobs.helpers_worker import DEFECT, HOLD, MEMORY, QUICK, REFUSED, VANISH


def test_runs_of_a_sweep_share_one_process_and_keep_their_own_logs_and_events(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=QUICK + index) for index in range(3)])
    for job in jobs:
        assert home.ended(job).state is JobState.FINISHED
    assert len(set(home.begun(3))) == 1
    for index, job in enumerate(jobs):
        assert home.backend.logs(job.id).splitlines() == [f"seed {QUICK + index} speaks"]
        said = [event.message for event in home.backend.events(job.id) if event.stage == "job"]
        assert said == ["starting on cpu", "finished"]
        assert {event.job for event in home.backend.events(job.id)} == {job.id}
        assert home.backend.status(job.id).attempt == 1
    times = [home.backend.status(job.id) for job in jobs]
    for before, after in itertools.pairwise(times):
        assert before.ended
        assert after.started
        assert before.ended <= after.started


@pytest.mark.parametrize("act", [REFUSED, MEMORY, DEFECT, VANISH])
def test_a_job_that_fails_takes_its_process_with_it_and_no_other_job(home: Home, act: int) -> None:
    jobs = home.backend.submit([Recipe(seed=seed) for seed in (QUICK, act, QUICK + 1)])
    states = [home.ended(job).state for job in jobs]
    assert states == [JobState.FINISHED, JobState.FAILED, JobState.FINISHED]
    first, second, third = home.begun(3)
    assert first == second
    assert third != first


def test_a_cancel_ends_the_process_and_the_rest_of_the_sweep_gets_a_fresh_one(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=seed) for seed in (QUICK, HOLD, QUICK + 1)])
    home.begun(2)
    home.backend.cancel(jobs[1].id)
    states = [home.ended(job).state for job in jobs]
    assert states == [JobState.FINISHED, JobState.CANCELLED, JobState.FINISHED]
    first, second, third = home.begun(3)
    assert first == second
    assert third != first


def test_a_job_that_was_taken_over_and_killed_fails_alone_and_resumes(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=seed) for seed in (QUICK, HOLD, QUICK + 1)])
    os.kill(home.begun(2)[1], signal.SIGKILL)
    assert home.ended(jobs[1]).message.startswith("the worker was killed")
    assert home.ended(jobs[2]).state is JobState.FINISHED
    home.go()
    home.backend.resume(jobs[1].id)
    assert home.ended(jobs[1]).attempt == 2
    assert home.ended(jobs[0]).attempt == 1


def test_a_run_of_another_network_gets_a_process_of_its_own(home: Home) -> None:
    other = ModelRef(source="folder", name="/another/network")
    jobs = home.backend.submit([Recipe(seed=QUICK), Recipe(seed=QUICK, model=other)])
    for job in jobs:
        assert home.ended(job).state is JobState.FINISHED
    first, second = home.begun(2)
    assert first != second


def test_a_worker_takes_nothing_over_while_a_command_waits_for_its_device(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=seed) for seed in (HOLD, QUICK)])
    (pid,) = home.begun()

    def let_go(_: str) -> None:
        home.go()

    with device_lock.hold(home.backend, "cpu", let_go):
        assert home.backend.status(jobs[0].id).state is JobState.FINISHED
        assert home.backend.status(jobs[1].id).state is JobState.QUEUED
    assert home.ended(jobs[1]).state is JobState.FINISHED
    assert home.begun(2)[1] != pid


def test_a_signal_for_a_job_that_has_ended_does_not_reach_the_next_one(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=seed) for seed in (QUICK, HOLD)])
    (before,) = home.backend.running() or [None]
    home.begun(2)
    assert before is not None
    assert before.id == jobs[0].id
    home.backend._signal(before, signal.SIGKILL)
    home.go()
    assert home.ended(jobs[1]).state is JobState.FINISHED


def test_a_cancel_between_two_jobs_is_obeyed_by_the_job_it_was_meant_for(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=QUICK + index) for index in range(4)])
    wait(lambda: home.backend.status(jobs[0].id).state.ended)
    home.backend.cancel(jobs[3].id)
    states = [home.ended(job).state for job in jobs]
    assert states[:3] == [JobState.FINISHED] * 3
    assert states[3] in (JobState.CANCELLED, JobState.FINISHED)
