"""Kill a process at chosen moments of what it writes, and look at what it has left.

    python -m tests.kills.moments SCENARIO FOLDER COUNT [FIRST]

A moment is the instant before the process opens, renames, links, removes or makes a file under the
folder, begins an SQL statement, writes or flushes through a descriptor, and the middle of such a
write. A first run counts them; then one process after the other is killed by SIGKILL at one of
COUNT moments, spread evenly over the run (0 takes all), and another process checks what is left and
does the work again to its end. Moments are counted, not timed, so a busy machine changes nothing.

It prints one line of JSON: the scenario, its moments, the kills and what failed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

FILE_EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.utime", "os.truncate"}


class Moments:
    """Counts the moments of this process, and ends it at the `last` one."""

    def __init__(self, folder: Path, last: int | None):
        self.seen = 0
        self._folder = str(folder)
        self._last = last

    def watch(self) -> None:
        """Count from now on; nothing can undo it, so only for a process that ends soon."""
        sys.addaudithook(self._audit)
        write, flush, connect = os.write, os.fsync, sqlite3.connect

        def torn(descriptor: int, data: bytes) -> int:
            self.pass_one()
            half = write(descriptor, data[: len(data) // 2])
            self.pass_one()
            return half + write(descriptor, data[half:])

        def flushed(descriptor: int) -> None:
            self.pass_one()
            flush(descriptor)

        def connected(*arguments, **options) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(self.pass_one)
            return connection

        os.write, os.fsync, sqlite3.connect = torn, flushed, connected

    def pass_one(self, *_: object) -> None:
        """One moment more, which may be the last."""
        self.seen += 1
        if self.seen == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(self._folder):
            self.pass_one()


def child(work: Callable[[], object]) -> int:
    """Do it in a forked process; its exit status, or minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def campaign(name: str, folder: Path, count: int, first: int = 1) -> dict:
    """Kill at `count` moments, the first at the `first` one; what happened, for JSON."""
    scenario = importlib.import_module(f"tests.kills.{name}")

    def act(root: Path, last: int | None) -> None:
        scenario.prepare(root)
        moments = Moments(root, last)
        moments.watch()
        scenario.act(root)
        root.with_suffix(".seen").write_text(str(moments.seen))

    def check(root: Path) -> None:
        scenario.check(root)
        scenario.act(root)
        scenario.finished(root)

    whole = folder / "whole"
    if child(lambda: act(whole, None)) or child(lambda: scenario.finished(whole)):
        return {"scenario": name, "moments": 0, "kills": 0, "failed": ["unbroken run"]}
    total = int(whole.with_suffix(".seen").read_text())
    step = max(1.0, (total - first + 1) / count) if count else 1.0
    chosen = sorted({int(first + step * at) for at in range(count or total)})
    chosen = [at for at in chosen if at <= total]
    failed = []
    kills = 0
    for last in chosen:
        root = folder / str(last)
        status = child(partial(act, root, last))
        kills += status == -signal.SIGKILL
        if status not in (0, -signal.SIGKILL) or child(partial(check, root)):
            failed.append(f"moment {last} of {total}")
    return {"scenario": name, "moments": total, "kills": kills, "failed": failed}


if __name__ == "__main__":
    _, scenario_name, folder_name, *numbers = sys.argv
    outcome = campaign(scenario_name, Path(folder_name).resolve(), *map(int, numbers))
    print(json.dumps(outcome))
    sys.exit(bool(outcome["failed"]))
