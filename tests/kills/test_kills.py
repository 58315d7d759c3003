"""kill -9 at 60 moments of what Quantscope writes: `moments` says what a moment is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = {"cached": 14, "indexed": 12, "queued": 14, "reported": 12, "told": 8}


@pytest.mark.timeout(900)  # 14 kills take seconds, and more where several suites share a core
@pytest.mark.parametrize("scenario", KILLS)
def test_a_process_killed_at_any_moment_leaves_what_is_right_or_nothing(
    scenario: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills.moments", scenario, tmp_path, str(KILLS[scenario])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["kills"] == KILLS[scenario], done.stdout
