"""kill -9 of a live dashboard while a job that it started runs, again and again.

The job goes on and finishes, the queue and every Report stay readable, and the next dashboard shows
it all.
"""

from __future__ import annotations

import random
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from tests.soak.outcome import Outcome
from tests.soak.server import chromium, dashboard, faults
from tests.soak.workshop import Workshop, ended, report, wait

ROUNDS = 4


def run(folder: Path, long: bool) -> Outcome:
    """One server, killed again and again; each life starts one job."""
    outcome = Outcome("kills of the server")
    shop = Workshop(folder)
    root = shop.home("home")
    whole = shop.unbroken(shop.recipe())
    queue = LocalBackend(root, devices=["cpu"])
    moments = random.Random(5)
    with chromium() as browser, dashboard(root) as server:
        if browser is None:
            outcome.left_out = "no Chromium"
            return outcome
        for index in range(ROUNDS * (4 if long else 1)):
            page = browser.new_page()
            outcome.failed += faults(page, f"{server.address}/jobs")
            recipe = shop.recipe(seed=index, evaluation={"windows": 24 - index})
            (job,) = queue.table.add([recipe])  # only the server starts what it finds there
            running = wait(lambda job=job: queue.status(job).state is JobState.RUNNING, 30)
            outcome.expect(running, f"round {index}: the server did not start the job")
            wait(lambda: False, moments.uniform(0, 4))
            alive = queue.status(job).state is JobState.RUNNING
            server.kill()
            outcome.count += 1
            done = ended(queue, job, 120)
            outcome.expect(
                done.state is JobState.FINISHED,
                f"round {index}: {done.state}, {done.message} (running at the kill: {alive})",
            )
            page.close()
            server.start()
        page = browser.new_page()
        outcome.failed += faults(page, f"{server.address}/jobs")
        outcome.failed += faults(page, f"{server.address}/pareto")
    first = queue.sweeps()[-1]
    (job,) = queue.sweep_jobs(first.id)
    found = report(queue, job.id)
    rows = [(row.name, row.weight_error, row.output_error, row.damping) for row in found.layers]
    outcome.expect(rows == whole[0], "the first run's numbers are not those of an unbroken one")
    outcome.numbers["jobs that finished"] = str(queue.tally().get(JobState.FINISHED, 0))
    return outcome
