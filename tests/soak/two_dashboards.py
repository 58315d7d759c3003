"""Two dashboards on one home, both open in a browser, and two who submit the same at once.

Every recipe runs exactly once, the device never has two jobs, and both dashboards show the end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import JobState
from qcore.report.library import Library
from tests.soak.outcome import Outcome
from tests.soak.server import chromium, dashboard, faults
from tests.soak.workshop import Workshop, wait

RECIPES = 12


def run(folder: Path, long: bool) -> Outcome:
    """Two servers, two submitters, recipes that each of them submits."""
    outcome = Outcome("recipes submitted twice")
    shop = Workshop(folder, wide=False)
    root = shop.home("home")
    other = root.with_name("other")
    other.symlink_to(root)
    recipes = [shop.recipe(seed=seed) for seed in range(RECIPES * (4 if long else 1))]
    with chromium() as browser, dashboard(root) as first, dashboard(other) as second:
        if browser is None:
            outcome.left_out = "no Chromium"
            return outcome
        pages = [browser.new_page(), browser.new_page()]
        for page, server in zip(pages, (first, second), strict=True):
            outcome.failed += faults(page, f"{server.address}/jobs")

        def submit(order: int) -> list[str]:
            queue = LocalBackend(root, devices=["cpu"])
            ids = [queue.table.add([recipe])[0] for recipe in recipes[::order]]
            queue.close()
            return ids[::order]

        with ThreadPoolExecutor(2) as both:
            one, two = both.map(submit, (1, -1))
        outcome.count = len(recipes)
        queue = LocalBackend(root, devices=["cpu"])
        over = wait(lambda: not any(not s.ended for s in queue.tally()), 300, 0.5)
        outcome.expect(over, f"after 300 s the queue has {queue.tally()}")
        for page, server in zip(pages, (first, second), strict=True):
            outcome.failed += faults(page, f"{server.address}/jobs")
            text = page.locator("[data-testid=stMain]").inner_text()
            outcome.expect("finished" in text.lower(), f"{server.address} shows no end")
    jobs = queue.jobs(1000)
    states = {job.state for job in jobs}
    outcome.expect(states == {JobState.FINISHED}, f"jobs ended as {states}")
    digests = [job.recipe.digest for job in jobs]
    live_twice = len(digests) - len(set(digests))
    same = sum(a == b for a, b in zip(one, two, strict=True))
    outcome.numbers["one job for both"] = f"{same} of {len(recipes)}"
    outcome.numbers["answered later by a second job"] = str(live_twice)
    outcome.expect(same + live_twice == len(recipes), "a recipe was lost or ran in a third job")
    spans = sorted((job.started or 0.0, job.ended or 0.0) for job in jobs)
    overlaps = sum(b[0] < a[1] for a, b in pairwise(spans))
    outcome.expect(not overlaps, f"{overlaps} jobs ran beside another on one device")
    count = len(Library(root).reports())
    outcome.expect(count == len(recipes), f"{count} Reports for {len(recipes)} recipes")
    return outcome
