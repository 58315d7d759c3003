"""A home for the tests of the queue: its backend, its scripted workers and how they end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from qcore.jobs.local import process
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import Job

SCRIPT = Path(__file__).with_name("helpers_worker.py")
COMMAND = (sys.executable, str(SCRIPT))


def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Home:
    """A home folder with its backend, and what the scripted workers wrote into their diary."""

    def __init__(self, root: Path):
        self.root = root
        self.backend = self.another()

    def another(self, devices: tuple[str, ...] = ("cpu",)) -> LocalBackend:
        """A second dispatcher on the same queue, as a restarted app would make it."""
        return LocalBackend(self.root, command=COMMAND, devices=devices)

    def diary(self, word: str = "") -> list[list[str]]:
        """The diary's lines that start with `word`, split."""
        path = self.root / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in lines if line.startswith(word)]

    def go(self) -> None:
        """Let every holding worker finish."""
        (self.root / "go").touch()

    def ended(self, job: Job) -> Job:
        """The job, once it has ended."""

        def over() -> bool:
            self.backend.tick()
            return self.backend.status(job.id).state.ended

        wait(over)
        return self.backend.status(job.id)

    def begun(self, count: int = 1) -> list[int]:
        """The PIDs of workers whose run has begun, once there are `count`."""
        wait(lambda: len(self.diary("begin")) >= count)
        return [int(line[3]) for line in self.diary("begin")]


def exit_code(pid: int) -> int | None:
    """How a worker that this process started has ended; None while it runs."""
    return process._children[pid][1].poll()


def no_children() -> bool:
    """Whether every worker that this process started has ended and been collected."""
    process.reap(set())
    return not process._children
