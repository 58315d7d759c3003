"""Cancel a job while it starts and inside every one of its stages: the device is free within 5 s.

Three jobs, which between them have every stage that is announced: each is cancelled when a stage
has begun, resumed, cancelled in the next one, and so on to its end, which has the numbers of a run
that nobody disturbed. A stage that is over before a look at the queue can see it is named.
"""

from __future__ import annotations

import time
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from qcore.pipeline import stage_names
from qcore.recipe import Recipe
from tests.pipeline.factories import numbers
from tests.soak.outcome import Outcome
from tests.soak.workshop import Workshop, ended, report, wait

LIMIT_SECONDS = 5.0
LOOK_SECONDS = 0.005
STARTING = "job"
"""What a job's newest event belongs to while its worker imports what it needs."""

BY_SENSITIVITY = {
    "activations": {"format": "int8"},
    "rotation": {"r1": True, "signs": True},
    "permutation": {"method": "massdiff"},
    "scales": {"method": "piso"},
    "rounding": {"method": "qronos"},
    "precision": {"method": "kl", "formats": ["int4", "int8"], "budget": 6.0},
    "evaluation": {"tasks": ["arc_easy"], "limit": 20},
}
BY_LEARNING = {
    "weights": {"format": "mxfp4"},
    "activations": {"format": "mxfp4"},
    "scales": {"method": "absmax"},
    "rounding": {"method": "rtn"},
    "precision": {
        "method": "dmx",
        "formats": ["mxfp4", "mxfp8_e4m3"],
        "budget": 6.0,
        "training": {"steps": 30, "length": 64},
    },
}
OF_SUFFIXES = {
    "model": {"source": "suffix"},
    "suffix": {"cases": 400, "epochs": 3},
    "scales": {"method": "absmax"},
    "rounding": {"method": "rtn"},
}


def run(folder: Path, long: bool) -> Outcome:
    """One recipe after the other, each in a home of its own."""
    outcome = Outcome("cancels")
    shop = Workshop(folder, windows=8, length=64)
    recipes = {
        "by sensitivity": shop.recipe(**BY_SENSITIVITY),
        "by learning": shop.recipe(**BY_LEARNING),
        "of suffixes": Recipe.from_dict(OF_SUFFIXES),
    }
    took: list[float] = []
    unseen: list[str] = []
    for name, recipe in recipes.items():
        whole = shop.unbroken(recipe, f"unbroken {name}")
        queue = LocalBackend(shop.home(name), devices=["cpu"])
        cancel_through(queue, name, recipe, outcome, took, unseen)
        (job,) = queue.jobs()
        done = ended(queue, job.id, 400)
        outcome.expect(done.state is JobState.FINISHED, f"{name}: {done.state}, {done.message}")
        if done.state is JobState.FINISHED:
            same = numbers(report(queue, job.id)) == whole
            outcome.expect(same, f"{name}: the numbers are not those of an unbroken run")
        queue.close()
    outcome.numbers["device free after, mean"] = f"{sum(took) / len(took):.2f} s"
    outcome.numbers["device free after, at most"] = f"{max(took):.2f} s"
    outcome.numbers["over too soon to be seen"] = ", ".join(unseen) or "none"
    return outcome


def cancel_through(
    queue: LocalBackend,
    name: str,
    recipe: Recipe,
    outcome: Outcome,
    took: list[float],
    unseen: list[str],
) -> None:
    """Cancel and resume the recipe's job once in each stage."""
    (job,) = queue.submit([recipe])
    stages = [STARTING, *stage_names(recipe)]
    for at, stage in enumerate(stages):
        if not caught(queue, job.id, stage, stages[at + 1 :]):
            unseen.append(f"{stage} ({name})")
            continue
        start = time.monotonic()
        queue.cancel(job.id)

        def free() -> bool:
            queue.tick()
            return not queue.running()

        freed = wait(free, 60, 0.02)
        took.append(time.monotonic() - start)
        outcome.count += 1
        fast = freed and took[-1] <= LIMIT_SECONDS
        outcome.expect(fast, f"{name}, {stage}: the device was free after {took[-1]:.1f} s")
        state = queue.status(job.id).state
        outcome.expect(state is JobState.CANCELLED, f"{name}, {stage}: the job is {state}")
        if state is not JobState.CANCELLED:
            return
        queue.resume(job.id)


def caught(queue: LocalBackend, job: str, stage: str, later: list[str]) -> bool:
    """Wait for the stage; False when the job was seen behind it."""
    found = ""

    def there() -> bool:
        nonlocal found
        queue.tick()
        now = queue.status(job)
        found = now.stage if now.state is JobState.RUNNING else ""
        return found == stage or found in later or now.state.ended

    wait(there, 300, LOOK_SECONDS)
    return found == stage
