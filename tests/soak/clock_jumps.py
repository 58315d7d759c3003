"""The system's clock jumps while jobs run: forwards and backwards, by an hour to ten years.

The clock is injected: `time.time` of every program under test reads an offset from a file, by a
`sitecustomize` on its path. (libfaketime was tried: it breaks Python's `time.sleep` where the
steady clock is to stay true, as it does on a real machine.) Times of files stay the kernel's.

A jump must not make a living worker look dead, lose a job or break a Report, and a cancel still
takes seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from tests.pipeline.factories import numbers
from tests.soak.outcome import Outcome
from tests.soak.server import CHECKOUT
from tests.soak.workshop import Workshop, report

HOUR, DAY = 3600, 86_400
JUMPS = (HOUR, -HOUR, 2 * DAY, -2 * DAY, 3600 * DAY, -3600 * DAY, 0)
"""Seconds between the injected clock and the true one, one after the other."""
JOBS = 3
"""For once through the jumps; a long soak goes through them three times."""
DISPATCH = """
import json, sys, time
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
root, clock, jumps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",")
queue = LocalBackend(root, devices=["cpu"])
begun = time.monotonic()
while time.monotonic() < begun + 600:
    queue.tick()
    jobs = queue.jobs()
    if all(job.state.ended for job in jobs):
        break
    if any(job.state.value == "running" and job.stage not in ("", "job") for job in jobs) and jumps:
        clock.write_text(jumps.pop(0))
        time.sleep(1.0)
    time.sleep(0.1)
print(json.dumps([len(jumps), time.monotonic() - begun]))
"""
CANCEL = """
import sys, time
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
root, clock, recipe = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
from qcore.recipe import Recipe
queue = LocalBackend(root, devices=["cpu"])
(job,) = queue.submit([Recipe.from_json(recipe)])
while queue.status(job.id).stage in ("", "job"):
    time.sleep(0.05)
clock.write_text("-34560000")
time.sleep(1.0)
begun = time.monotonic()
queue.cancel(job.id)
while queue.running():
    queue.tick()
    time.sleep(0.05)
print(time.monotonic() - begun, queue.status(job.id).state.value)
"""


SITE = """
import os, time
_true = time.time
def _shifted():
    try:
        with open(os.environ["QUANTSCOPE_SOAK_CLOCK"]) as file:
            return _true() + float(file.read() or 0)
    except (OSError, ValueError):
        return _true()
time.time = _shifted
time.time_ns = lambda: int(_shifted() * 1e9)
"""


def run(folder: Path, long: bool) -> Outcome:
    """Jobs under one jump after the other, and a cancel after one."""
    outcome = Outcome("jumps")
    shop = Workshop(folder)
    jumps = JUMPS * (3 if long else 1)
    recipes = [
        shop.recipe(seed=seed, weights={"format": f"int{2 + seed % 7}"})
        for seed in range(JOBS * (3 if long else 1))
    ]
    whole = shop.unbroken(recipes[0])
    queue = LocalBackend(shop.home("home"), devices=["cpu"])
    clock = folder / "clock"
    clock.write_text("0")
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(CHECKOUT)]),
        "QUANTSCOPE_SOAK_CLOCK": str(clock),
    }

    def under_the_clock(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, str(queue.root), str(clock), *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        outcome.expect(done.returncode == 0, f"the dispatcher ended: {done.stderr[-300:]}")
        return done.stdout.splitlines()[-1] if done.stdout else ""

    ids = queue.table.add(recipes)
    told = under_the_clock(DISPATCH, ",".join(map(str, jumps)))
    left, took = json.loads(told) if told else (len(jumps), 0.0)
    outcome.count = len(jumps) - left
    outcome.expect(not left, f"{left} jumps came too late for the jobs")
    outcome.numbers["jobs ended after"] = f"{took:.0f} s"
    for job in map(queue.status, ids):
        outcome.expect(job.state is JobState.FINISHED, f"{job.state}: {job.message}")
    if queue.status(ids[0]).state is JobState.FINISHED:
        same = numbers(report(queue, ids[0])) == whole
        outcome.expect(same, "the numbers are not those of an unbroken run")
    again = shop.recipe(seed=50, evaluation={"windows": 20}, rounding={"method": "qronos"})
    clock.write_text("0")
    word = under_the_clock(CANCEL, again.to_json()).split()
    outcome.count += 1
    outcome.expect(len(word) == 2 and word[1] == "cancelled", f"the cancel said {word}")
    if word:
        outcome.numbers["cancelled after a jump of −400 days in"] = f"{float(word[0]):.1f} s"
        outcome.expect(float(word[0]) <= 5, f"a cancel took {word[0]} s")
    outcome.expect(not queue.running(), "something still runs")
    return outcome
