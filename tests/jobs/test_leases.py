"""Which devices are leased, and what a worker is told about its death and its surroundings."""

import signal

import pytest

from qcore.devices import Device
from qcore.jobs import endings, leases


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
        (endings.UNRECORDED, "could not write its outcome"),
    ],
)
def test_every_death_has_a_sentence_with_a_remedy(exit_code: int | None, fact: str) -> None:
    sentence = endings.of_death(exit_code)
    assert fact in sentence
    assert "resume" in sentence.partition(";")[2]
