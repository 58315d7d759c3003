"""A worker whose pipeline does what the recipe's seed says: `seed // 100` picks the act.

Started as a script by the tests' backends in place of `python -m qcore.jobs.worker`.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cache.digest import digest
from qcore.errors import DataError
from qcore.jobs import worker
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.report.report import Environment, Report, Volume

QUICK, HOLD, DEAF, REFUSED, MEMORY, DEFECT, VANISH, STAGES, FULL_DISK, PARENT, SWALLOWED = (
    act * 100 for act in range(11)
)
HOLD_SECONDS = 30.0


def report_of(recipe: Recipe, device: str) -> Report:
    return Report(
        id=recipe.digest[:16],
        recipe=recipe,
        created=1.0,
        assignment={},
        layers=(),
        metrics=(),
        window_losses=(),
        float_window_losses=(),
        window_divergences=(),
        volume=Volume(0, 0, 0, 16, 0, 0),
        stages=(),
        environment=Environment(device, "none", "", "none", {}, {}),
    )


def note(line: str) -> None:
    """One line into the diary that the tests read."""
    with (Path(os.environ["QUANTSCOPE_HOME"]) / "diary").open("a") as diary:
        diary.write(line + "\n")


def hold() -> None:
    """Wait for the file `go`."""
    deadline = time.monotonic() + HOLD_SECONDS
    while time.monotonic() < deadline:
        if (Path(os.environ["QUANTSCOPE_HOME"]) / "go").exists():
            return
        time.sleep(0.01)


def run(recipe, *, cache, emit, device):
    act = recipe.seed // 100 * 100
    note(f"begin {recipe.seed} {device} {os.getpid()}")
    print(f"seed {recipe.seed} speaks")
    emit(Event("load", 0, 1, kind="stage"))
    if act == HOLD:
        hold()
    elif act == SWALLOWED:
        try:
            hold()
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape of object") from None
    elif act == DEAF:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("deaf")
        hold()
    elif act == REFUSED:
        raise DataError("the text has 3 tokens", remedy="choose a longer one")
    elif act == MEMORY:
        raise MemoryError
    elif act == DEFECT:
        raise KeyError("no such layer")
    elif act == VANISH:
        os._exit(3)
    elif act == STAGES:
        key = digest("first stage")
        note("cached" if cache.has(key) else "computed")
        cache.put_record(key, 1)
        emit(Event("load", 1, 1, kind="stage"))
        hold()
    elif act == FULL_DISK:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for step in range(50):
            print("x" * 1000)
            emit(Event("evaluate", step, 50, kind="stage"))
        time.sleep(3 * worker.BEAT_SECONDS)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    elif act == PARENT:
        child = subprocess.Popen(["sleep", str(HOLD_SECONDS)])
        note(f"child {child.pid}")
        hold()
    note(f"end {recipe.seed} {device} {os.getpid()}")
    return report_of(recipe, device)


def ensure(recipe, stage, *, cache, emit, device):
    note(f"ensure {recipe.seed} {stage} {os.getpid()}")
    if recipe.seed // 100 * 100 == HOLD:
        hold()
    elif recipe.seed // 100 * 100 == REFUSED:
        raise DataError("the text has 3 tokens", remedy="choose a longer one")
    emit(Event(stage, 1, 1, kind="stage"))


if __name__ == "__main__":
    worker.BEAT_SECONDS = 0.1
    worker.GRACE_SECONDS = 0.3
    sys.exit(worker.main(sys.argv[1:], run=run, ensure=ensure))
