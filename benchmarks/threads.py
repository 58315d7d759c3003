"""How torch's threads should wait: alone on the machine, beside a busy core, beside another torch.

A short run of the demo model (INT4 GPTQ) with the network loaded, wall-clock, in a process of its
own for each way to wait: OpenMP reads its settings once. The neighbours are a Python loop that
keeps one core, and a torch process of as many threads as there are cores, with torch's own
settings. A ratio is that over the best way in the same situation; goals for ours, which
`qcore.machine.threads` sets: 1.05 alone, 1.25 beside others. Measure on a quiet machine.

Run: python -m benchmarks.threads [--repeats 1]     (about five minutes on two cores)
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from qcore.machine import threads

ROOT = Path(__file__).parents[1]
GOALS = {"alone": 1.05, "busy core": 1.25, "beside torch": 1.25}
WAYS = {
    "torch's own": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "1,000 spins": {"GOMP_SPINCOUNT": "1000"},
    "ours": threads.environment({}),
    "100,000 spins": {"GOMP_SPINCOUNT": "100000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
NEIGHBOURS = {
    "alone": "",
    "busy core": "while True: pass",
    "beside torch": "import torch; x = torch.ones(512, 512)\nwhile True: x @ x; torch.tanh(x)",
}
_SETTINGS = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1, help="keep the least of so many")
    parser.add_argument("--home", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.home:
        print(f"seconds {timed_run(Path(given.home))}")
        return
    from benchmarks._measure import save, table

    with tempfile.TemporaryDirectory() as home:
        seconds_of(Path(home), {})  # dequantizes the demo model
        seconds = {}
        for situation, code in NEIGHBOURS.items():
            for way, settings in WAYS.items():
                with neighbour(code):
                    tries = [seconds_of(Path(home), settings) for _ in range(given.repeats)]
                seconds[way, situation] = min(tries)
    best = {at: min(seconds[way, at] for way in WAYS) for at in NEIGHBOURS}
    rows = [
        {"way": way}
        | {at: seconds[way, at] for at in NEIGHBOURS}
        | {f"{at}, ratio": seconds[way, at] / best[at] for at in NEIGHBOURS}
        for way in WAYS
    ]
    print(table(rows))
    save("threads", rows)
    for at, goal in GOALS.items():
        ratio = seconds["ours", at] / best[at]
        told = "met" if ratio <= goal else "missed"
        print(f"{at}: ours takes {ratio:.2f} times the best, goal {goal}: {told}")


def timed_run(root: Path) -> float:
    """Seconds of a short run in a home of its own, the network loaded before."""
    from cache.store import Cache
    from qcore.pipeline import Keys, Session, resolve_inputs, run
    from qcore.progress import silent
    from qcore.recipe import Recipe

    recipe = Recipe.from_dict(
        {
            "weights": {"format": "int4"},
            "rounding": {"method": "gptq"},
            "scales": {"method": "absmax"},
            "calibration": {"windows": 2, "length": 512},
            "evaluation": {"windows": 1, "length": 512},
        }
    )
    session = Session(root)
    session.network(Keys(recipe, resolve_inputs(recipe, root)), silent)
    with tempfile.TemporaryDirectory() as fresh:
        start = time.perf_counter()
        run(
            recipe,
            cache=Cache(Path(fresh) / "cache"),
            emit=lambda _: None,
            root=Path(fresh),
            session=session,
        )
        return time.perf_counter() - start


def seconds_of(home: Path, settings: dict[str, str]) -> float:
    """Seconds of the run in a process with these settings and no others of their kind."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.threads", "--home", str(home)],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in _SETTINGS} | settings,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.rpartition("seconds ")[2])


@contextlib.contextmanager
def neighbour(code: str) -> Iterator[None]:
    """Another process that computes meanwhile; none without code."""
    if not code:
        yield
        return
    other = {k: v for k, v in os.environ.items() if k not in _SETTINGS}
    process = subprocess.Popen([sys.executable, "-c", code], env=other)
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
