"""Kill at every moment of what cache, index, queue, library and event file write; and at 40 of a
whole run, which then goes on to the numbers of an unbroken one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.soak.outcome import Outcome
from tests.soak.server import CHECKOUT

SCENARIOS = {"cached": 0, "indexed": 0, "queued": 0, "reported": 0, "told": 0, "ran": 40}
"""Of how many moments; 0 takes all."""


def run(folder: Path) -> Outcome:
    """One campaign after the other, as the suite does with fewer."""
    outcome = Outcome("kills")
    for name, count in SCENARIOS.items():
        done = subprocess.run(
            [sys.executable, "-m", "tests.kills.moments", name, folder / name, str(count)],
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
