"""Commands beside a dashboard: as many of them as jobs want the same device at the same time.

Each ends with the numbers of its recipe, and none computes while another does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from qcore.report.library import Library
from tests.soak.outcome import Outcome
from tests.soak.server import CHECKOUT, chromium, dashboard, faults
from tests.soak.workshop import Workshop, wait

EACH = 3


def run(folder: Path, long: bool) -> Outcome:
    """Jobs of even seeds through the dashboard, commands of odd ones."""
    outcome = Outcome("commands and jobs at once")
    each = EACH * (4 if long else 1)
    shop = Workshop(folder)
    root = shop.home("home")
    queue = LocalBackend(root, devices=["cpu"])
    environment = {**os.environ, "QUANTSCOPE_HOME": str(root)}
    with chromium() as browser, dashboard(root) as server:
        if browser is not None:
            outcome.failed += faults(browser.new_page(), f"{server.address}/jobs")
        queue.table.add([shop.recipe(seed=2 * index) for index in range(each)])
        commands = []
        for index in range(each):
            path = folder / f"{index}.json"
            path.write_text(shop.recipe(seed=2 * index + 1).to_json())
            command = [sys.executable, "-m", "qcore", "run", "--json", "--device", "cpu", str(path)]
            commands.append(
                subprocess.Popen(
                    command,
                    cwd=CHECKOUT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        outcome.count = 2 * each
        for index, command in enumerate(commands):
            out, told = command.communicate(timeout=900)
            outcome.expect(command.returncode == 0, f"command {index}: {told[-300:]}")
            if command.returncode == 0:
                outcome.expect("id" in json.loads(out), f"command {index} printed no report")

        def over() -> bool:
            queue.tick()
            return all(state.ended for state in queue.tally())

        outcome.expect(wait(over, 300, 0.5), f"after 300 s the queue has {queue.tally()}")
    ended = {state: count for state, count in queue.tally().items() if count}
    outcome.expect(ended == {JobState.FINISHED: each}, f"jobs ended as {ended}")
    reports = Library(root).reports()
    outcome.expect(len(reports) == 2 * each, f"{len(reports)} Reports for {2 * each} recipes")
    values = {tuple(found.window_losses) for found in reports}  # seeds change no rounding here
    outcome.expect(len(values) == 1, f"{len(values)} different outcomes of one computation")
    return outcome
