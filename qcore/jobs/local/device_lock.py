"""A device held by a command that somebody runs by hand, beside the jobs' leases.

Jobs lease devices in the queue's table. A command has no job, so it holds a file of the device
instead, which the kernel frees when the command dies. Each side looks at the other's sign after it
has put up its own: a dispatcher starts nothing on a device whose file is held, and a command that
holds the file waits for the job that was there before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from qcore.errors import DiskFull
from qcore.jobs.local.table import Run

POLL_SECONDS = 0.5
"""Between two looks at a job that is waited for."""


class Queue(Protocol):
    """The part of a queue that a command needs."""

    root: Path

    def running(self) -> list[Run]:
        """The running jobs."""
        ...

    def tick(self) -> None:
        """Do what is due."""
        ...


@contextlib.contextmanager
def hold(queue: Queue, device: str, say: Callable[[str], None]) -> Iterator[None]:
    """Have a device to oneself; waits for the command or the job that has it.

    Args:
        queue: the jobs of this home.
        device: as a lease names it: `cpu`, `cuda:0`.
        say: told, in a sentence, what is waited for.

    Raises:
        DiskFull: the device's file cannot be made.
    """
    with _open(queue.root, device) as file:
        if not _take(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            say(f"another command is running on {device}: waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        told = ""
        while ahead := next((run for run in queue.running() if run.device == device), None):
            if told != ahead.id:
                say(f"job {ahead.id} is running on {device}: waiting for it to end")
                told = ahead.id
            time.sleep(POLL_SECONDS)
            queue.tick()  # the job's worker may have died
        yield
    queue.tick()  # what had to wait for this command can start


def is_held(root: Path, device: str) -> bool:
    """Whether a command has the device."""
    path = _path(root, device)
    if not path.exists():
        return False
    with path.open("r") as file:
        return not _take(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _take(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def _open(root: Path, device: str) -> IO[str]:
    path = _path(root, device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.open("a")
    except OSError as error:
        raise DiskFull(
            f"{path} cannot be made: {error.strerror}",
            remedy="free some disk space, or set QUANTSCOPE_HOME to another disk",
        ) from error


def _path(root: Path, device: str) -> Path:
    return root / "jobs" / f"{device.replace(':', '-')}.held"
