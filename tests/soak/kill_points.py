"""Kill at many moments of what cache, index, queue, library and event file write, and of a whole
run, which then goes on to the numbers of an unbroken one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.soak.outcome import Outcome
from tests.soak.server import CHECKOUT

SCENARIOS = {"cached": 40, "indexed": 26, "queued": 40, "reported": 28, "told": 29, "ran": 20}
"""At how many moments; a long soak takes all."""


def run(folder: Path, long: bool) -> Outcome:
    """One campaign after the other, as the suite does with fewer."""
    outcome = Outcome("kills")
    for name, count in SCENARIOS.items():
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.kills.moments",
                name,
                folder / name,
                str(0 if long else count),
            ],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
        )
        try:
            found = json.loads(done.stdout)
        except ValueError:
            outcome.failed.append(f"{name}: {done.stderr[-300:]}")
            continue
        outcome.count += found["kills"]
        outcome.failed += [f"{name}: {failure}" for failure in found["failed"]]
        outcome.numbers[name] = f"{found['kills']} of {found['moments']} moments"
    return outcome
