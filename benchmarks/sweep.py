"""C6: a sweep that shares its calibration against as many cold runs, and an exact repeat.

Twenty recipes {RTN, GPTQ} × {INT8, INT4, INT3, INT2, INT6} × groups {none, 64}: once in one home,
where stages are shared, and then each in a home of its own, with a network of its own. Evaluation
is set aside on both sides: what counts is the time of all stages but `reference`, `evaluate` and
tasks, as the Reports tell it. Four cold runs, one of each pair of rounding and group, may stand
for all twenty: formats hardly differ in time.

Run: python -m benchmarks.sweep [--windows 4] [--length 256] [--cold 4]
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks._measure import save, table
from cache.store import Cache
from qcore.machine.home import home
from qcore.pipeline import Session, run
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.report.report import Report

SWEEP_GOAL = 0.35
REPEAT_GOAL = 0.01
RUNS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--cold", type=int, default=RUNS, choices=(4, RUNS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipes = twenty(given.windows, given.length)
    chosen = recipes[:: RUNS // given.cold]
    warm_up(chosen[-1])
    with Home() as shared:
        together = [shared.run(recipe) for recipe in recipes]
        start = time.perf_counter()
        again = shared.run(chosen[-1])
        repeat = time.perf_counter() - start
    first = together[recipes.index(chosen[-1])]
    alone = [cold(recipe) for recipe in chosen]
    sweep = sum(map(seconds, together))
    apart = sum(map(seconds, alone)) * RUNS / len(alone)
    rows = [
        {
            "what": f"{RUNS} recipes, shared calibration",
            "seconds": sweep,
            "over": f"{RUNS} cold runs ({len(alone)} measured)",
            "over_seconds": apart,
            "ratio": sweep / apart,
            "goal": SWEEP_GOAL,
            "bit_identical": None,
        },
        {
            "what": "exact repeat",
            "seconds": repeat,
            "over": "the same run, cold",
            "over_seconds": whole(alone[-1]),
            "ratio": repeat / whole(alone[-1]),
            "goal": REPEAT_GOAL,
            "bit_identical": again.to_json() == first.to_json(),
        },
    ]
    print(table(rows))
    save("sweep", rows)


def twenty(windows: int, length: int) -> list[Recipe]:
    """The sweep."""
    return expand(
        {
            "calibration": {"windows": windows, "length": length},
            "evaluation": {"windows": 1, "length": length},
            "weights": {"format": ["int8", "int6", "int4", "int3", "int2"], "group": [None, 64]},
            "rounding": {"method": ["rtn", "gptq"]},
        }
    )


class Home:
    """A folder of its own for cache and reports, with the demo's dequantized files at hand."""

    def __enter__(self) -> "Home":
        self.root = Path(tempfile.mkdtemp(prefix="sweep-"))
        (self.root / "models").symlink_to(home() / "models")
        self._cache = Cache(self.root / "cache")
        self._session = Session(self.root)
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.close()
        shutil.rmtree(self.root)

    def run(self, recipe: Recipe) -> Report:
        """Run it here."""
        return run(
            recipe, cache=self._cache, emit=lambda _: None, root=self.root, session=self._session
        )


def cold(recipe: Recipe) -> Report:
    """The recipe in a home that has seen nothing."""
    with Home() as alone:
        return alone.run(recipe)


def warm_up(recipe: Recipe) -> None:
    """Import, compile and dequantize what is needed, outside any measured time."""
    (home() / "models").mkdir(parents=True, exist_ok=True)
    cold(recipe)


def seconds(report: Report) -> float:
    """Wall seconds of a run, evaluation aside."""
    return total(s.seconds for s in report.stages if s.name in ("load", "capture", "quantize"))


def whole(report: Report) -> float:
    """Wall seconds of a run's stages."""
    return total(stage.seconds for stage in report.stages)


def total(parts: Iterable[float]) -> float:
    return sum(parts)


if __name__ == "__main__":
    main()
