"""Twenty browser sessions look at every page while jobs run.

No page shows a trace, all settle, the jobs finish, and the server gives its memory back within
reason.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from tests.house.tree import page_addresses
from tests.soak.outcome import Outcome
from tests.soak.server import chromium, dashboard, faults
from tests.soak.workshop import Workshop, wait

SESSIONS = 20
JOBS = 6
LARGEST_MB = 2000


def run(folder: Path, long: bool) -> Outcome:
    """Every session opens page after page; sessions stay open."""
    outcome = Outcome("pages opened")
    shop = Workshop(folder)
    root = shop.home("home")
    queue = LocalBackend(root, devices=["cpu"])
    pages, slowest, peak = page_addresses(), 0.0, 0
    with chromium() as browser, dashboard(root) as server:
        if browser is None:
            outcome.left_out = "no Chromium"
            return outcome
        queue.table.add([shop.recipe(seed=seed) for seed in range(JOBS)])
        process = psutil.Process(server.process.pid)
        sessions = [browser.new_context() for _ in range(SESSIONS)]
        tabs = [session.new_page() for session in sessions]
        for turn in range(9 if long else 3):
            for index, tab in enumerate(tabs):
                start = time.monotonic()
                page = pages[(index + 3 * turn) % len(pages)]
                outcome.failed += faults(tab, f"{server.address}/{page}")
                slowest = max(slowest, time.monotonic() - start)
                print(f"{turn} {index} {page}: {time.monotonic() - start:.1f} s", flush=True)
                peak = max(peak, process.memory_info().rss)
                outcome.count += 1
        over = wait(lambda: all(state.ended for state in queue.tally()), 300, 0.5)
        outcome.expect(over, f"after 300 s the queue has {queue.tally()}")
        outcome.expect(server.answers(), "the server does not answer at the end")
        for tab in tabs:
            traces = tab.locator("[data-testid=stException]").count()
            outcome.expect(not traces, f"{tab.url} shows {traces} traces at the end")
    ended = {state: count for state, count in queue.tally().items() if count}
    outcome.expect(ended == {JobState.FINISHED: JOBS}, f"jobs ended as {ended}")
    outcome.expect(peak < LARGEST_MB * 1e6, f"the server had {peak / 1e6:.0f} MB")
    outcome.numbers["sessions"] = str(SESSIONS)
    outcome.numbers["slowest page"] = f"{slowest:.1f} s"
    outcome.numbers["server's memory, at most"] = f"{peak / 1e6:.0f} MB"
    return outcome
