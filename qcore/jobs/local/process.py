"""Worker processes: start one, ask whether it is still the same one, stop it with its children.

A process is known by its PID *and* the moment it was born, because PIDs are used again. Each
worker leads a session of its own: it outlives the dashboard, and one signal to its group reaches
everything that it started.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Children belong to the process, not to whichever backend object started them: a page may make a
# new backend on every rerun, and only the parent can collect an exit status.
_children: dict[int, tuple[float, subprocess.Popen[bytes]]] = {}
_children_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Worker:
    """A process: its PID and when it was born, in a clock that only this module reads."""

    pid: int
    born: float


def spawn(
    command: Sequence[str], *, cwd: Path, log: Path, environment: Mapping[str, str]
) -> Worker:
    """Start a process in a session of its own, its output appended to `log`.

    Raises:
        OSError: the program cannot be started.
    """
    output = open_log(log)
    try:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        os.close(output)
    born, _ = _look(child.pid) or (0.0, False)
    with _children_lock:
        _children[child.pid] = (born, child)
    return Worker(child.pid, born)


def open_log(log: Path) -> int:
    """A descriptor to append to; of the null device when the disk does not take a log."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def alive(worker: Worker) -> bool:
    """Whether that very process still runs. Reaps it if it was our child and has ended."""
    child = _child(worker)
    if child is not None:
        # Its main thread turns zombie before the others are gone; only the parent's wait knows.
        return child.poll() is None
    return _look(worker.pid) == (worker.born, False)


def exit_code(worker: Worker) -> int | None:
    """Exit status of our own child, or minus the signal; None if it runs or is not ours."""
    child = _child(worker)
    return None if child is None else child.poll()


def reap(running: set[int]) -> None:
    """Collect our ended children; forget those whose PID no running job mentions."""
    with _children_lock:
        for pid, (_, child) in list(_children.items()):
            if child.poll() is not None and pid not in running:
                del _children[pid]


def signal_group(worker: Worker, number: signal.Signals) -> None:
    """Signal a live worker and everything that it started; nothing if it is gone."""
    if alive(worker):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, number)


def kill_leftovers(worker: Worker) -> None:
    """Kill what a dead worker left running.

    The system gives no new process a PID that still names a group. So if the PID is free (or a
    zombie), a group of that number is the dead worker's; if the PID lives again, its group is gone.
    """
    found = _look(worker.pid)
    if found is None or found == (worker.born, True):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)


def here() -> str:
    """The boot and PID namespace that our PIDs mean something in; differs across containers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()} {psutil.boot_time():.0f}"


def _child(worker: Worker) -> subprocess.Popen[bytes] | None:
    with _children_lock:
        born, child = _children.get(worker.pid, (0.0, None))
    return child if born == worker.born else None


def _look(pid: int) -> tuple[float, bool] | None:
    """(birth, zombie) of the process, or None when there is none."""
    try:
        # Clock ticks since boot never move; psutil's seconds shift when the clock is set.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return float(fields[19]), fields[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    return None
