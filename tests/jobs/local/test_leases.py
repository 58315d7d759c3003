"""Which devices are leased, and what a worker is told about its death and its surroundings."""

import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from qcore.jobs import outcomes
from qcore.jobs.local import device_lock, leases
from qcore.jobs.local.process import Worker
from qcore.jobs.local.table import Run
from qcore.machine.devices import Device


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(leases.VARIABLE, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("there", "leased"),
    [
        (["cpu"], ("cpu",)),
        (["cuda:0", "cpu"], ("cuda:0",)),
        (["cuda:0", "cuda:1", "cpu"], ("cuda:0", "cuda:1")),
    ],
)
def test_jobs_take_gpus_where_there_are_any(
    there: list[str], leased: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "devices", lambda: tuple(Device(name, "", 1) for name in there))
    assert leases.leases() == leased


def test_a_worker_inherits_the_leases_without_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "devices", lambda: pytest.fail("asked again"))
    for name, value in leases.environment(("cuda:0", "cuda:1")).items():
        monkeypatch.setenv(name, value)
    assert leases.leases() == ("cuda:0", "cuda:1")


def test_workers_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert "OMP_NUM_THREADS" not in leases.environment(("cpu",))
    assert leases.environment(("cuda:0", "cuda:1"))["OMP_NUM_THREADS"] == "8"


@pytest.mark.parametrize(
    ("exit_code", "fact"),
    [
        (None, "process is gone"),
        (-signal.SIGKILL, "memory ran out"),
        (-signal.SIGSEGV, "died of signal SIGSEGV"),
        (-64, "died of signal SIGRTMAX"),
        (1, "exit status 1"),
        (outcomes.UNRECORDED, "could not write its outcome"),
    ],
)
def test_every_death_has_a_sentence_with_a_remedy(exit_code: int | None, fact: str) -> None:
    sentence = outcomes.of_death(exit_code)
    assert fact in sentence
    assert "resume" in sentence.partition(";")[2]


@dataclass
class Jobs:
    """Jobs that run on these devices until so many ticks have passed."""

    root: Path
    on: tuple[str, ...] = ()
    ticks: int = 0
    lasts: int = 2

    def running(self) -> list[Run]:
        here = self.on if self.ticks < self.lasts else ()
        return [Run("0" * 12, device, Worker(1, 0.0), "", 0.0, None) for device in here]

    def tick(self) -> None:
        self.ticks += 1


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "POLL_SECONDS", 0.001)


def test_a_device_is_held_while_a_command_runs_and_free_after_it(tmp_path: Path) -> None:
    said: list[str] = []
    with device_lock.hold(Jobs(tmp_path), "cuda:0", said.append):
        assert device_lock.is_held(tmp_path, "cuda:0")
        assert not device_lock.is_held(tmp_path, "cpu")
    assert not device_lock.is_held(tmp_path, "cuda:0")
    assert said == []


@pytest.mark.usefixtures("swift")
def test_a_command_waits_for_the_job_on_its_device_and_lets_others_be(tmp_path: Path) -> None:
    said: list[str] = []
    jobs = Jobs(tmp_path, on=("cuda:0", "cuda:1"))
    with device_lock.hold(jobs, "cuda:0", said.append):
        assert jobs.ticks == 2
    assert said == ["job 000000000000 is running on cuda:0: waiting for it to end"]
    assert jobs.ticks == 3, "what waited for the command can start"
    elsewhere = Jobs(tmp_path, on=("cuda:1",))
    with device_lock.hold(elsewhere, "cuda:0", said.append):
        assert elsewhere.ticks == 0


def test_a_command_waits_for_another_one(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with device_lock.hold(
            Jobs(tmp_path), "cpu", lambda text: (said.append(text), waiting.set())
        ):
            order.append("second")

    with device_lock.hold(Jobs(tmp_path), "cpu", said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(20)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert said == ["another command is running on cpu: waiting for it to end"]
