"""Memory runs out under a job: the kernel kills the worker, the queue says so, and the job resumes.

The dispatcher and what it starts live in a cgroup below ours, with a limit; each round has more
room than the one before, so the kill comes at another place. Where no cgroup can be made, the limit
is one of address space (`RLIMIT_AS`): allocations then fail in place of a kill. The tally says
which it was.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from tests.pipeline.factories import numbers
from tests.soak.outcome import Outcome
from tests.soak.server import CHECKOUT
from tests.soak.workshop import Workshop, ended, report, wait

MEGABYTE = 1 << 20
LIMITS = (120, 300, 380, 420, 450, 480, 520, 600, 760, 1000)
"""MB of memory; a worker has some 450 MB when it computes."""
ADDRESSES = 4
"""Times as much address space, where memory itself cannot be limited."""
DISPATCH = """
import sys, time, json
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
queue = LocalBackend(Path(sys.argv[1]), devices=["cpu"])
end = time.monotonic() + 120
while time.monotonic() < end:
    queue.tick()
    job = queue.status(sys.argv[2])
    if job.state.ended:
        break
    time.sleep(0.1)
print(json.dumps([job.state.value, job.message]))
"""


def run(folder: Path, long: bool) -> Outcome:
    """One job, started under one limit after the other and at last under none."""
    outcome = Outcome("jobs without memory")
    shop = Workshop(folder)
    recipe = shop.recipe()
    whole = shop.unbroken(recipe)
    queue = LocalBackend(shop.home("home"), devices=["cpu"])
    (id_,) = queue.table.add([recipe])
    kinds = set()
    ends: dict[str, list[str]] = {}
    for limit in range(120, 1000, 10) if long else LIMITS:
        with limited(limit) as (kind, enter):
            done = subprocess.run(
                [sys.executable, "-c", DISPATCH, str(queue.root), id_],
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                preexec_fn=enter,
                check=False,
            )
        kinds.add(kind)
        outcome.count += 1
        if done.returncode:
            outcome.failed.append(f"{limit} MB: the dispatcher ended: {done.stderr[-200:]}")
            continue
        state, message = json.loads(done.stdout.splitlines()[-1])
        ends.setdefault(message.partition(",")[0], []).append(f"{limit} MB")
        if state == JobState.FAILED.value:
            outcome.expect("memory" in message, f"{limit} MB: {message}")
            queue.table.requeue(id_)  # for the next dispatcher: we start nothing
        else:
            outcome.expect(state == JobState.FINISHED.value, f"{limit} MB: {state}, {message}")
            break
    done = ended(queue, id_, 200)
    outcome.expect(done.state is JobState.FINISHED, f"at last: {done.state}, {done.message}")
    same = done.state is JobState.FINISHED and numbers(report(queue, id_)) == whole
    outcome.expect(same, "the numbers are not those of an unbroken run")
    outcome.numbers |= {words: ", ".join(limits) for words, limits in ends.items()}
    outcome.numbers["limited by"] = ", ".join(sorted(kinds))
    return outcome


@contextmanager
def limited(megabytes: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What limits, and a function for the new process that puts it under the limit."""
    group = _group(megabytes * MEGABYTE)
    if group is None:
        most = ADDRESSES * megabytes * MEGABYTE
        yield "address space", partial(resource.setrlimit, resource.RLIMIT_AS, (most, most))
        return
    members = group / "cgroup.procs"
    try:
        yield "cgroup", lambda: members.write_text(str(os.getpid()))
    finally:
        for pid in members.read_text().split():  # workers that outlived their dispatcher
            os.kill(int(pid), signal.SIGKILL)
        wait(lambda: not members.read_text(), 10)
        group.rmdir()


def _group(limit: int) -> Path | None:
    """A cgroup below our own with so many bytes; None where the system lets us have none."""
    top = Path("/sys/fs/cgroup")
    group = None
    try:
        rows = Path("/proc/self/cgroup").read_text().splitlines()
        own = {names: path.strip("/") for _, names, path in (row.split(":", 2) for row in rows)}
        if "memory" in own:  # version one
            parent, limits = top / "memory" / own["memory"], {"memory.limit_in_bytes": limit}
        else:
            parent, limits = top / own[""], {"memory.max": limit, "memory.swap.max": 0}
        group = parent / f"quantscope-soak-{os.getpid()}"
        group.mkdir()
        for name, value in limits.items():
            (group / name).write_text(str(value))
    except (OSError, KeyError):
        if group is not None and group.exists():
            group.rmdir()
        return None
    return group
