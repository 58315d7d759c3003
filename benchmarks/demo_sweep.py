"""J5: the demo sweep as the button submits it: first point, first difference, whole sweep.

The stopwatch runs from the submit, as a click does it, in a fresh home whose queue starts its own
worker; the demo model is dequantized before, as it is from the second visit on. The first point is
the float model's, the first difference the second report. Goals on two quiet cores: 60, 90, 120 s.
`said` is when the first job had said something: at most 2 s.

Run: python -m benchmarks.demo_sweep
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._measure import save, table
from pages._ui.form.presets import DEMO
from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState

GOALS = {"said": 2.0, "first point": 60.0, "first difference": 90.0, "whole sweep": 120.0}
_DEQUANTIZE = """
import sys; from pathlib import Path
from qcore.pipeline import Keys, Session, resolve_inputs
from qcore.progress import silent
from qcore.recipe import Recipe
root = Path(sys.argv[1])
Session(root).network(Keys(Recipe(), resolve_inputs(Recipe(), root)), silent)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run([sys.executable, "-c", _DEQUANTIZE, folder], check=True)
        queue = LocalBackend(root)
        start = time.perf_counter()
        jobs = queue.submit(DEMO.recipes())
        at: dict[str, float] = {}
        ends: list[float] = []
        while len(ends) < len(jobs):
            time.sleep(0.1)
            queue.tick()
            now = time.perf_counter() - start
            if "said" not in at and queue.events(jobs[0].id):
                at["said"] = now
            states = [queue.status(job.id) for job in jobs]
            if bad := [s.message for s in states if s.state is JobState.FAILED]:
                raise SystemExit(bad[0])
            ends += [now] * (sum(s.state is JobState.FINISHED for s in states) - len(ends))
        queue.close()
    at |= {"first point": ends[0], "first difference": ends[1], "whole sweep": ends[-1]}
    rows = [{"what": name, "seconds": at[name], "goal": goal} for name, goal in GOALS.items()]
    print(table(rows))
    print("each report at", ", ".join(f"{end:.0f}" for end in ends), "s")
    save("demo_sweep", rows)


if __name__ == "__main__":
    main()
