"""kill -9 of the worker, of the app, of both, at any moment; and a disk that fills up."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from qcore.jobs.local import backend
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from tests.jobs.helpers_home import COMMAND, Home, exit_code, wait
from tests.jobs.helpers_worker import FULL_DISK, HOLD, QUICK, STAGES

ROOT = Path(__file__).parents[3]
APP = """
import sys, time
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
from qcore.recipe import Recipe
backend = LocalBackend(Path(sys.argv[1]), command=sys.argv[3:], devices=["cpu"])
backend.submit([Recipe(seed=int(seed)) for seed in sys.argv[2].split(",")])
while True:
    backend.tick()
    time.sleep(0.02)
"""
DYING_DISPATCHER = """
import os, signal, sys
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.local.table import Table
from qcore.recipe import Recipe
Table.start = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
LocalBackend(Path(sys.argv[1]), command=sys.argv[3:], devices=["cpu"]).submit(
    [Recipe(seed=int(sys.argv[2]))]
)
"""


def app(home: Home, *seeds: int, code: str = APP) -> subprocess.Popen[bytes]:
    arguments = [str(home.root), ",".join(str(seed) for seed in seeds), *COMMAND]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT)


def kill(started: subprocess.Popen[bytes]) -> None:
    started.kill()
    started.wait()


def edit(home: Home, statement: str, *values: object) -> None:
    connection = sqlite3.connect(home.root / "jobs" / "queue.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_a_killed_worker_is_a_failed_job_that_resumes_from_its_cached_stage(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=STAGES)])
    wait(lambda: home.diary("computed"))
    wait(lambda: len(home.backend.events(job.id)) == 3)
    os.kill(home.begun()[0], signal.SIGKILL)
    failed = home.ended(job)
    assert failed.state is JobState.FAILED
    assert failed.message.startswith("the worker was killed, most likely because memory ran out")
    home.go()
    again = home.backend.resume(job.id)
    assert (again.id, again.attempt, again.message, again.created) == (job.id, 2, "", job.created)
    assert home.ended(job).state is JobState.FINISHED
    assert len(home.diary("computed")) == 1
    assert len(home.diary("cached")) == 1
    assert [e.message for e in home.backend.events(job.id) if e.kind == "error"] == [failed.message]


def test_a_killed_app_loses_nothing_and_the_queue_goes_on(home: Home) -> None:
    first = app(home, HOLD, QUICK)
    home.begun()
    kill(first)
    job, following = reversed(home.backend.jobs())
    home.backend.tick()
    assert home.backend.status(job.id).state is JobState.RUNNING, "adopted, not restarted"
    home.go()
    wait(lambda: home.backend.status(following.id).state is JobState.FINISHED)
    assert home.backend.status(job.id).state is JobState.FINISHED
    assert len(home.diary("begin")) == 2


def test_app_and_worker_killed_together_leave_a_failed_job_that_resumes(home: Home) -> None:
    first = app(home, HOLD, QUICK)
    (pid,) = home.begun()
    kill(first)
    os.kill(pid, signal.SIGKILL)
    job, following = reversed(home.backend.jobs())
    failed = home.ended(job)
    assert failed.state is JobState.FAILED
    assert failed.message.startswith("the worker process is gone")
    assert home.ended(following).state is JobState.FINISHED
    home.go()
    home.backend.resume(job.id)
    assert home.ended(job).state is JobState.FINISHED


def test_an_adopted_worker_can_be_cancelled(home: Home) -> None:
    first = app(home, HOLD)
    home.begun()
    kill(first)
    (job,) = home.backend.jobs()
    home.backend.cancel(job.id)
    assert home.ended(job).state is JobState.CANCELLED


def test_a_dispatcher_killed_while_starting_a_job_leaves_it_queued_and_it_runs_once(
    home: Home,
) -> None:
    assert app(home, QUICK, code=DYING_DISPATCHER).wait() == -signal.SIGKILL
    (job,) = home.backend.jobs()
    assert job.state is JobState.QUEUED
    # The newborn worker finds that the job is not its own and leaves.
    assert home.ended(job).state is JobState.FINISHED
    assert len(home.diary("begin")) == 1


def test_a_process_that_got_the_pid_of_a_dead_worker_is_left_alone(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    (pid,) = home.begun()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: exit_code(pid) is not None)
    stranger = subprocess.Popen(["sleep", "30"], start_new_session=True)
    try:
        edit(home, "UPDATE job SET pid = ?, born = 1", stranger.pid)
        failed = home.ended(job)
        assert failed.state is JobState.FAILED
        assert stranger.poll() is None
        home.backend.resume(job.id)
        home.begun(2)
        edit(home, "UPDATE job SET pid = ?, born = 1", stranger.pid)
        home.backend.cancel(job.id)
        assert home.ended(job).state is JobState.CANCELLED
        assert stranger.poll() is None
    finally:
        kill(stranger)


def test_a_worker_whose_job_was_given_away_stops(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    (pid,) = home.begun()
    edit(home, "UPDATE job SET state = 'failed', pid = NULL")
    wait(lambda: exit_code(pid) is not None)
    assert home.backend.status(job.id).state is JobState.FAILED
    assert home.diary("end") == []


def test_a_worker_elsewhere_is_judged_by_its_heartbeat_alone(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    (pid,) = home.begun()
    os.kill(pid, signal.SIGKILL)
    edit(home, "UPDATE job SET place = 'another container'")
    home.backend.tick()
    assert home.backend.status(job.id).state is JobState.RUNNING
    edit(home, "UPDATE job SET heartbeat = heartbeat - ?", backend.SILENCE_SECONDS + 1)
    home.backend.tick()
    failed = home.backend.status(job.id)
    assert failed.state is JobState.FAILED
    assert "has been silent for" in failed.message


def test_a_disk_that_fills_up_costs_lines_but_not_the_job(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=FULL_DISK)])
    done = home.ended(job)
    assert done.state is JobState.FINISHED, home.backend.logs(job.id)
    events = home.backend.events(job.id)
    assert [event.message for event in events if event.kind == "state"] == [
        "starting on cpu",
        "finished",
    ]
    assert len(events) < 50


def test_no_zombie_is_left(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=QUICK)])
    (pid,) = home.begun()
    home.ended(job)

    def reaped() -> bool:
        home.backend.tick()
        return not Path(f"/proc/{pid}").exists()

    wait(reaped)
