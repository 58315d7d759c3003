"""What keeping freed memory saves: sequential capture of the demo model, in a process each way.

The setting holds for a process from then on, so the two sides are processes that take turns; each
reports its own wall time, the time the system spent for it, and its peak memory.

    python -m benchmarks.allocation [--windows 8] [--length 512] [--repeats 2]
"""

import argparse
import json
import resource
import subprocess
import sys
import time

from benchmarks._measure import save, table
from qcore.calibration.sequential import capture_sequential
from qcore.calibration.text import windows
from qcore.machine.allocator import keep_freed_memory
from qcore.machine.home import home
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef

SIDES = ("given back", "kept")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measured(given.side, given.windows, given.length)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(given.repeats):
        for side in SIDES:
            command = [sys.executable, "-m", "benchmarks.allocation", "--side", side]
            command += ["--windows", str(given.windows), "--length", str(given.length)]
            outcome = subprocess.run(command, check=True, capture_output=True, text=True)
            found[side].append(json.loads(outcome.stdout))
    rows = [
        {"freed memory is": side, **min(runs, key=lambda run: run["wall s"])}
        for side, runs in found.items()
    ]
    base = rows[0]["wall s"]
    rows = [{**row, "of the time": row["wall s"] / base} for row in rows]
    print(table(rows))
    save("allocation", rows)


def measured(side: str, count: int, length: int) -> dict[str, float]:
    """One sequential capture with a float stream, in this process."""
    if side == "kept" and not keep_freed_memory():
        raise SystemExit("this system's C library cannot be told to keep memory")
    network = load(resolve(ModelRef(), home()), home())
    text = windows(network.tokenizer, "lambada/calibration", count, length)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    capture_sequential(network.model, text, lambda site, statistics: None, float_stream=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall s": time.perf_counter() - start,
        "user s": after.ru_utime - before.ru_utime,
        "system s": after.ru_stime - before.ru_stime,
        "peak MiB": after.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
