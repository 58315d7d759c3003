"""C9: a rerun of Compare with three runs of 16 × 2,048 tokens, token view included.

Times what the server does for one rerun: the thread that runs the dashboard's script, from its
first line until all elements are handed over. The browser's part is not in it. The runs are made up
on the spot, with records of every token in a cache: what a page reads of a run does not depend on
how it came about. `python -m benchmarks.compare`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _measure

RUNS, WINDOWS, LENGTH = 3, 16, 2048
REPEATS = 40
LIMIT_MS = 100.0
WORDS = (" the", " quantization", " of", "\n", " a", "ing", " <b>", " größer", ",", " Hadamard")


def page(home: Path) -> Any:
    """The Compare page over three runs, opened once."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    from cache.store import Cache
    from qcore.report.library import Library
    from tests.pages.compare.factories import keep_pieces, keep_run

    cache, library = Cache(home / "cache"), Library(home)
    random = np.random.default_rng(0)
    keep_pieces(cache, [list(random.choice(WORDS, LENGTH)) for _ in range(WINDOWS)])
    runs = [keep_run(library, cache, seed, WINDOWS, LENGTH) for seed in range(RUNS)]

    begin = PagesManager.__init__

    def as_after_the_first_visit(manager: PagesManager, *arguments: Any, **options: Any) -> None:
        PagesManager.uses_pages_directory = False
        begin(manager, *arguments, **options)

    setattr(PagesManager, "__init__", as_after_the_first_visit)  # noqa: B010 -- no type allows it
    app = AppTest.from_file(
        Path(__file__).resolve().parents[1] / "dashboard.py", default_timeout=60
    )
    app.run()
    app.switch_page("pages/compare.py")
    app.query_params["runs"] = ",".join(run.id for run in runs)
    app.run()
    assert not app.exception, app.exception
    return app


def timed_scripts() -> list[float]:
    """From now on, the milliseconds of CPU of every script that runs."""
    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

    times: list[float] = []
    run = ScriptRunner._run_script

    def timed(runner: ScriptRunner, *arguments: Any) -> None:
        start = time.thread_time()
        run(runner, *arguments)
        times.append((time.thread_time() - start) * 1000)

    setattr(ScriptRunner, "_run_script", timed)  # noqa: B010 -- no type allows it
    return times


def main() -> int:
    """Print the table, write the JSON, fail when the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QUANTSCOPE_HOME"] = folder
        app = page(Path(folder))
        times = timed_scripts()
        for repeat in range(REPEATS):
            app.number_input(key="compare.window").set_value(1 + repeat % WINDOWS)
            app.run()
            assert not app.exception, app.exception
    row = {
        "runs": RUNS,
        "tokens": WINDOWS * LENGTH,
        "median_ms": round(float(np.median(times)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
    }
    print(_measure.table([row]))
    print(f"goal: ≤ {LIMIT_MS:g} ms of server time")
    _measure.save("compare", [row])
    return 0 if row["p95_ms"] <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
