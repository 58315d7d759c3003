"""The queue: order, leases, cancels and refusals, with real processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qcore.errors import DiskFull, JobError
from qcore.jobs.local import device_lock
from qcore.jobs.local.backend import GRACE_SECONDS, LocalBackend
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.jobs.helpers_home import COMMAND, Home, exit_code, wait
from tests.jobs.helpers_worker import (
    DEAF,
    DEFECT,
    HOLD,
    MEMORY,
    PARENT,
    QUICK,
    REFUSED,
    SWALLOWED,
    VANISH,
)

ROOT = Path(__file__).parents[3]


def test_a_job_runs_and_its_report_is_in_the_library(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=QUICK)])
    assert job.state in (JobState.QUEUED, JobState.RUNNING)
    done = home.ended(job)
    assert done.state is JobState.FINISHED, home.backend.logs(job.id)
    assert done.device == "cpu"
    assert done.started
    assert done.ended
    assert job.created <= done.started <= done.ended
    assert Library(home.root).get(done.report).recipe == job.recipe
    said = [(event.stage, event.message) for event in home.backend.events(job.id)]
    assert said == [("job", "starting on cpu"), ("load", ""), ("job", "finished")]
    assert {event.job for event in home.backend.events(job.id)} == {job.id}
    assert len(home.backend.events(job.id, after=2)) == 1


def test_a_sweep_runs_in_order_one_at_a_time_without_the_app(home: Home) -> None:
    jobs = home.backend.submit([Recipe(seed=QUICK + index) for index in range(3)])
    assert len({job.sweep for job in jobs}) == 1
    assert jobs[0].sweep
    # No tick from here on: each worker starts the next.
    wait(lambda: all(home.backend.status(job.id).state.ended for job in jobs))
    marks = [(line[0], int(line[1])) for line in home.diary()]
    assert marks == [(word, index) for index in range(3) for word in ("begin", "end")]
    assert [job.id for job in home.backend.jobs()] == [job.id for job in reversed(jobs)]
    assert len(home.backend.jobs(limit=2)) == 2


def test_a_single_recipe_is_no_sweep(home: Home) -> None:
    first, twin = home.backend.submit([Recipe(seed=HOLD), Recipe(seed=HOLD)])
    assert first.sweep == ""
    assert first.id == twin.id
    assert home.backend.submit([Recipe(seed=HOLD)])[0].id == first.id
    home.go()
    home.ended(first)
    assert home.backend.submit([Recipe(seed=HOLD)])[0].id != first.id


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (REFUSED, "the text has 3 tokens; choose a longer one"),
        (MEMORY, "out of memory; choose fewer or shorter windows"),
        (DEFECT, "internal error (KeyError: 'no such layer')"),
        (VANISH, "the worker ended with exit status 3; see its log"),
    ],
)
def test_a_failure_is_a_sentence_and_the_queue_goes_on(home: Home, act: int, sentence: str) -> None:
    job, following = home.backend.submit([Recipe(seed=act), Recipe(seed=QUICK)])
    failed = home.ended(job)
    assert failed.state is JobState.FAILED
    assert failed.message.startswith(sentence)
    assert home.backend.events(job.id)[-1].kind == "error"
    assert home.backend.events(job.id)[-1].message == failed.message
    assert "Traceback" not in failed.message
    assert ("Traceback" in home.backend.logs(job.id)) == (act != VANISH)
    assert home.ended(following).state is JobState.FINISHED


def test_a_cancelled_worker_frees_its_device_for_the_next_job(home: Home) -> None:
    job, following = home.backend.submit([Recipe(seed=HOLD), Recipe(seed=QUICK)])
    (pid,) = home.begun()
    asked = time.monotonic()
    assert home.backend.cancel(job.id).state in (JobState.RUNNING, JobState.CANCELLED)
    wait(lambda: home.backend.status(job.id).state is JobState.CANCELLED)
    assert time.monotonic() - asked < GRACE_SECONDS
    assert "resume" in home.backend.status(job.id).message
    assert home.ended(following).state is JobState.FINISHED
    wait(lambda: not psutil.pid_exists(pid) or home.backend.tick())
    assert home.backend.cancel(job.id).state is JobState.CANCELLED, (
        "a second cancel changes nothing"
    )


def test_a_cancel_whose_interrupt_native_code_replaced_by_an_error_is_a_cancel(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=SWALLOWED)])
    home.begun()
    home.backend.cancel(job.id)
    assert home.ended(job).state is JobState.CANCELLED
    assert "internal error" not in home.backend.status(job.id).message


def test_a_queued_job_is_cancelled_at_once_and_never_runs(home: Home) -> None:
    first, second = home.backend.submit([Recipe(seed=HOLD), Recipe(seed=QUICK)])
    assert home.backend.cancel(second.id).state is JobState.CANCELLED
    home.go()
    home.ended(first)
    assert [line[1] for line in home.diary("begin")] == [str(HOLD)]


def test_a_worker_that_ignores_sigterm_kills_itself_when_nobody_ticks(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=DEAF)])
    wait(lambda: home.diary("deaf"))
    (pid,) = home.begun()
    home.backend.cancel(job.id)
    wait(lambda: exit_code(pid) == -signal.SIGKILL)
    done = home.ended(job)
    assert done.state is JobState.CANCELLED


def test_a_frozen_worker_is_killed_by_a_tick_after_the_grace(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcore.jobs.local.backend.GRACE_SECONDS", 0.1)
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    (pid,) = home.begun()
    os.kill(pid, signal.SIGSTOP)  # neither its handler nor its watch can run
    home.backend.cancel(job.id)
    assert home.ended(job).state is JobState.CANCELLED
    assert not psutil.pid_exists(pid)


def test_what_a_worker_started_dies_with_it(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=PARENT)])
    wait(lambda: home.diary("child"))
    child = psutil.Process(int(home.diary("child")[0][1]))
    (pid,) = home.begun()
    os.kill(pid, signal.SIGKILL)
    home.ended(job)
    wait(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_each_device_is_leased_to_one_job(home: Home) -> None:
    backend = home.another(("cuda:0", "cuda:1"))
    jobs = backend.submit([Recipe(seed=HOLD + index) for index in range(3)])
    home.begun(2)
    states = [backend.status(job.id) for job in jobs]
    assert [job.device for job in states] == ["cuda:0", "cuda:1", ""]
    assert states[2].state is JobState.QUEUED
    home.go()
    for job in jobs:
        assert home.ended(job).state is JobState.FINISHED
    backend.close()


def test_identical_submissions_from_two_processes_make_one_job(home: Home) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from qcore.jobs.local.backend import LocalBackend; from qcore.recipe import Recipe\n"
        "backend = LocalBackend(Path(sys.argv[1]), command=sys.argv[2:], devices=['cpu'])\n"
        "backend.jobs(); print('ready', flush=True); sys.stdin.readline()\n"
        f"print(backend.submit([Recipe(seed={HOLD})])[0].id)"
    )
    submitters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home.root), *COMMAND],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for submitter in submitters:
        assert submitter.stdout
        assert submitter.stdout.readline() == "ready\n"
    for submitter in submitters:
        assert submitter.stdin
        submitter.stdin.write("\n")
        submitter.stdin.flush()
    ids = {submitter.communicate()[0] for submitter in submitters}
    assert len(ids) == 1
    assert len(home.backend.jobs()) == 1
    home.go()
    assert home.ended(home.backend.jobs()[0]).state is JobState.FINISHED
    assert len(home.diary("begin")) == 1


def test_two_dispatchers_start_each_job_once_and_share_no_lease(home: Home) -> None:
    devices = ("cuda:0", "cuda:1")
    code = (
        "import sys; from pathlib import Path\n"
        "from qcore.jobs.local.backend import LocalBackend\n"
        f"backend = LocalBackend(Path(sys.argv[1]), command=sys.argv[2:], devices={devices})\n"
        "while not all(job.state.ended for job in backend.jobs()): backend.tick()\n"
    )
    home.backend.table.add([Recipe(seed=QUICK + index) for index in range(8)])
    arguments = [sys.executable, "-c", code, str(home.root), *COMMAND]
    dispatchers = [subprocess.Popen(arguments, cwd=ROOT) for _ in range(2)]
    assert [dispatcher.wait(60) for dispatcher in dispatchers] == [0, 0]
    assert {job.state for job in home.backend.jobs()} == {JobState.FINISHED}
    seeds = sorted(int(line[1]) for line in home.diary("begin"))
    assert seeds == [QUICK + index for index in range(8)]
    for device in devices:
        words = [line[0] for line in home.diary() if line[2] == device]
        assert words == ["begin", "end"] * (len(words) // 2), f"two jobs at once on {device}"


def test_resume_is_refused_while_the_recipe_is_live(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    with pytest.raises(JobError, match=r"is running|is queued"):
        home.backend.resume(job.id)
    home.backend.cancel(job.id)
    home.ended(job)
    (again,) = home.backend.submit([Recipe(seed=HOLD)])
    with pytest.raises(JobError, match=f"live already as job {again.id}"):
        home.backend.resume(job.id)
    home.go()
    home.ended(again)


@pytest.mark.parametrize("job", ["", "0123456789ab", "../../etc", "x" * 12])
def test_an_unknown_job_is_a_sentence(home: Home, job: str) -> None:
    for use in (home.backend.status, home.backend.cancel, home.backend.resume):
        with pytest.raises(JobError, match="there is no job"):
            use(job)
    if job != "0123456789ab":
        with pytest.raises(JobError, match="no job id"):
            home.backend.events(job)
    else:
        assert home.backend.events(job) == []
        assert home.backend.logs(job) == ""


def test_rows_of_another_version_are_left_out_and_do_not_block_the_queue(home: Home) -> None:
    home.backend.table.add([Recipe(seed=QUICK), Recipe(seed=QUICK + 1), Recipe(seed=QUICK + 2)])
    newest, middle, oldest = home.backend.jobs()
    edit = sqlite3.connect(home.root / "jobs" / "queue.sqlite")
    with edit:
        edit.execute(
            "UPDATE job SET recipe = '{\"hologram\": 1}', digest = 'x' WHERE id = ?", (oldest.id,)
        )
        edit.execute("UPDATE job SET state = 'teleporting' WHERE id = ?", (middle.id,))
    edit.close()
    assert [job.id for job in home.backend.jobs()] == [newest.id]
    assert home.ended(newest).state is JobState.FINISHED
    with pytest.raises(JobError, match="another version"):
        home.backend.status(oldest.id)
    assert len(home.diary("begin")) == 1


def test_a_damaged_queue_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "queue.sqlite").write_bytes(b"no database" * 1000)
    backend = LocalBackend(tmp_path, command=COMMAND, devices=["cpu"])
    with pytest.raises(JobError, match="is damaged"):
        backend.submit([Recipe()])


def test_a_program_that_cannot_be_started_is_a_failed_job(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path, command=[str(tmp_path / "missing")], devices=["cpu"])
    (job,) = backend.submit([Recipe()])
    assert job.state is JobState.FAILED
    assert job.message.startswith("no worker could be started: No such file")
    backend.close()


def test_submitting_on_a_full_disk_says_so_and_keeps_the_queue(home: Home) -> None:
    (job,) = home.backend.submit([Recipe(seed=HOLD)])
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from qcore.errors import DiskFull\n"
        "from qcore.jobs.local.backend import LocalBackend; from qcore.recipe import Recipe\n"
        "backend = LocalBackend(Path(sys.argv[1]), devices=['cpu']); backend.jobs()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try: backend.submit([Recipe(seed=1)])\n"
        "except DiskFull as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], cwd=ROOT, capture_output=True, text=True
    )
    assert "free some disk space" in done.stdout, done.stderr
    assert [kept.id for kept in home.backend.jobs()] == [job.id]
    home.go()
    assert home.ended(job).state is JobState.FINISHED
    assert DiskFull.__name__ not in home.backend.logs(job.id)


def test_no_job_starts_on_a_device_that_a_command_holds(home: Home) -> None:
    with device_lock.hold(home.backend, "cpu", pytest.fail):
        (job,) = home.backend.submit([Recipe(seed=QUICK)])
        assert home.backend.status(job.id).state is JobState.QUEUED
    assert home.ended(job).state is JobState.FINISHED
