"""The real worker and the real pipeline, with a rest in every block of GPTQ.

Each site that is rounded writes a line into `rounded`; while the file `go` is missing, the second
block waits for it. Started as a script in place of `python -m qcore.jobs.worker`.
"""

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from qcore.jobs import worker
from qcore.pipeline import methods, run

HOLD_SECONDS = 60.0
SITES = 4


def with_rest(rounding):
    """`rounding`, which lets one block through and holds still in all others until it may go on."""
    root = Path(os.environ["QUANTSCOPE_HOME"])
    calls: list[int] = []
    first = []

    def rest(*given, **named):
        if not first:  # blocks go one to a thread; the first thread's first block goes through
            first.append(threading.get_ident())
        calls.append(threading.get_ident())
        with (root / "rounded").open("a") as diary:
            diary.write(f"{os.getpid()} {len(calls)}\n")
        deadline = time.monotonic() + HOLD_SECONDS
        mine = calls.count(threading.get_ident()) if threading.get_ident() in first else SITES + 1
        while mine > SITES and not (root / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return rounding(*given, **named)

    return rest


if __name__ == "__main__":
    worker.BEAT_SECONDS = 0.2
    methods.gptq = with_rest(methods.gptq)
    sys.exit(worker.main(sys.argv[1:], run=run))
