"""Memory runs out under a job: the kernel kills the worker, the queue says so, and the job resumes.

The dispatcher and what it starts live in a cgroup with a limit; each round has more room than the
one before, so the kill comes at another place. Where no cgroup can be made, the limit is one of
address space (`RLIMIT_AS`): allocations then fail in place of a kill, which is said in the tally.
"""

from __future__ import annotations

import json
import os
import resource
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
from tests.soak.workshop import Workshop, ended, report

MEGABYTE = 1 << 20
LIMITS = (120, 260, 380, 460, 500, 540, 580, 620, 660, 700, 760)
"""MB of memory; a worker has some 500 MB when it computes."""
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


def run(folder: Path) -> Outcome:
    """One job, started under each limit and at last under none."""
    outcome = Outcome("jobs without memory")
    shop = Workshop(folder)
    recipe = shop.recipe()
    whole = shop.unbroken(recipe)
    queue = LocalBackend(shop.home("home"), devices=["cpu"])
    (id_,) = queue.table.add([recipe])
    kinds = set()
    for limit in LIMITS:
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
        outcome.numbers[f"{limit} MB"] = f"{state}: {message[:70]}"
        if state == JobState.FAILED.value:
            outcome.expect("memory" in message, f"{limit} MB: {message}")
            queue.resume(id_)  # starts it, without a limit
            queue.cancel(id_)
            ended(queue, id_, 60)
            queue.table.requeue(id_)
        else:
            outcome.expect(state == JobState.FINISHED.value, f"{limit} MB: {state}, {message}")
            break
    done = ended(queue, id_, 200)
    outcome.expect(done.state is JobState.FINISHED, f"at last: {done.state}, {done.message}")
    same = done.state is JobState.FINISHED and numbers(report(queue, id_)) == whole
    outcome.expect(same, "the numbers are not those of an unbroken run")
    outcome.numbers["limited by"] = ", ".join(sorted(kinds))
    return outcome


@contextmanager
def limited(megabytes: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What limits, and a function for the new process that puts it under the limit."""
    for made in (_version_one, _version_two):
        group = made(megabytes * MEGABYTE)
        if group is not None:
            try:
                yield "cgroup", partial(_enter, group)
            finally:
                group.rmdir()
            return
    most = ADDRESSES * megabytes * MEGABYTE
    yield "RLIMIT_AS", partial(resource.setrlimit, resource.RLIMIT_AS, (most, most))


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _version_one(limit: int) -> Path | None:
    return _group(Path("/sys/fs/cgroup/memory"), {"memory.limit_in_bytes": limit})


def _version_two(limit: int) -> Path | None:
    return _group(Path("/sys/fs/cgroup"), {"memory.max": limit, "memory.swap.max": 0})


def _group(parent: Path, limits: dict[str, int]) -> Path | None:
    group = parent / f"quantscope-soak-{os.getpid()}"
    try:
        group.mkdir()
        for name, limit in limits.items():
            (group / name).write_text(str(limit))
    except OSError:
        if group.exists():
            group.rmdir()
        return None
    return group
