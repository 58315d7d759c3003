"""J7: from a click until the figure stands, in a real browser.

Starts the dashboard and a headless Chromium, clicks through each page ten times and prints medians:
wall time from the click to the last change in a figure, and to the last on the page; CPU time of
the server and of the browser's main thread, which a busy neighbour disturbs less; and what came
over the wire. The last row is a fresh start: a server that nobody asked yet and a browser without a
cache, from the address to the page's title and until the page stands; above the table stand the
grounds that were painted on the way.

    PYTHONPATH=. python benchmarks/settle.py [--home FOLDER] [--repeats 10] [--only NAME]

The home needs a run with a calibration and one with sensitivities: missing ones are made, which
takes some minutes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _measure
from benchmarks._dashboard import FLAGS, GROUNDS, QUIET, WATCH, Dashboard, dashboard
from pages._ui.bits.engine import demo_recipe
from qcore.machine.chromium import find_chromium
from qcore.machine.home import home
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.library import Library

GOAL_MS, SOLVER_MS, START_MS = 300.0, 150.0, 2000.0
STARTS = 5
_QUIET_MS = 900
_PATIENCE_MS = 240_000


@dataclass(frozen=True, slots=True)
class Click:
    """One thing a hand does: on which page, how, and what it should take at most."""

    name: str
    page: str
    do: Callable[[Any, int], None]
    goal: float = GOAL_MS


def _slide(tab: Any, turn: int) -> None:
    thumb = tab.get_by_role("slider", name="Budget")
    thumb.focus()
    tab.keyboard.press("ArrowRight" if turn % 2 else "ArrowLeft")


def _choose(label: str) -> Callable[[Any, int], None]:
    """Choose the next option of a box, from the keyboard."""

    def do(tab: Any, turn: int) -> None:
        box = tab.get_by_role("combobox", name=label)
        box.click()
        tab.wait_for_timeout(400)  # the list of options unfolds
        tab.keyboard.press("ArrowDown" if turn % 2 else "ArrowUp")
        tab.wait_for_timeout(200)
        tab.keyboard.press("Enter")

    return do


def _cell(tab: Any, turn: int) -> None:
    plot = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    x = plot["x"] + plot["width"] * (0.2 + 0.05 * (turn % 10))
    _press(tab, x, plot["y"] + plot["height"] * 0.3)


def _point(tab: Any, turn: int) -> None:
    points = tab.locator(".js-plotly-plot .scatterlayer path.point[style*='opacity: 0.9']")
    box = points.nth(turn % max(points.count(), 1)).bounding_box()
    _press(tab, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def _press(tab: Any, x: float, y: float) -> None:
    tab.mouse.move(x - 2, y)
    tab.mouse.move(x, y)
    tab.wait_for_timeout(700)  # a hand's pace: plotly drops a click that follows its hover at once
    tab.mouse.click(x, y)


CLICKS = (
    Click("Bits: budget", "bits", _slide, SOLVER_MS),
    Click("Outliers: layer", "outliers", _choose("Layer")),
    Click("Outliers: cell of the map", "outliers", _cell),
    Click("Outliers: rotation", "outliers", _choose("Rotation")),
    Click("Scales: layer", "scales", _choose("Layer")),
    Click("Pareto: quality", "pareto", _choose("Quality")),
    Click("Pareto: select", "pareto", _point),
)


@contextmanager
def _tab(browser: Any, theme: str = "dark") -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    tab.set_default_timeout(_PATIENCE_MS)
    tab.add_init_script(WATCH)
    yield tab
    context.close()


def _settle(tab: Any, *, click: bool = False, patience: int = _PATIENCE_MS) -> None:
    tab.wait_for_function(QUIET, arg=[_QUIET_MS, click], timeout=patience)


def clicks(browser: Any, at: Dashboard, click: Click, repeats: int) -> dict[str, Any]:
    """Median milliseconds of one click, and kilobytes received."""
    found: dict[str, list[float]] = {
        "figure": [],
        "page": [],
        "server": [],
        "browser": [],
        "kB": [],
    }
    received = [0]

    def count(socket: Any) -> None:
        def add(payload: bytes | str) -> None:
            received[0] += len(payload)

        socket.on("framereceived", add)

    with _tab(browser) as tab:
        tab.on("websocket", count)
        tab.goto(f"{at.address}/{click.page}")
        _settle(tab)
        meter = tab.context.new_cdp_session(tab)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        for turn in range(-1, repeats):
            tab.evaluate("() => { window.watched.figure = 0 }")
            server, main, before = at.cpu_ms(), _main_ms(meter), received[0]
            click.do(tab, turn)
            _settle(tab, click=True)
            seen = tab.evaluate("() => window.watched")
            if turn < 0:  # what only a first click pays is not what a hand waits for all day
                continue
            if seen["figure"]:
                found["figure"].append(seen["figure"] - seen["click"])
            found["page"].append(seen["page"] - seen["click"])
            found["server"].append(at.cpu_ms() - server)
            found["browser"].append(_main_ms(meter) - main)
            found["kB"].append((received[0] - before) / 1000)
    medians = {name: statistics.median(values) if values else 0.0 for name, values in found.items()}
    return {"click": click.name, **medians, "goal": click.goal}


def _main_ms(meter: Any) -> float:
    """Milliseconds of CPU that the page's main thread has worked."""
    found = {
        item["name"]: item["value"] for item in meter.send("Performance.getMetrics")["metrics"]
    }
    return found["TaskDuration"] * 1000


def starts(browser: Any) -> dict[str, Any]:
    """Median milliseconds from the address to the title and to a page that stands, when fresh."""
    title: list[float] = []
    page: list[float] = []
    server: list[float] = []
    grounds: set[str] = set()
    for turn in range(STARTS):
        theme = ("dark", "light")[turn % 2]
        with (
            tempfile.TemporaryDirectory() as empty,
            dashboard(Path(empty)) as at,
            _tab(browser, theme) as tab,
        ):
            tab.add_init_script(GROUNDS)
            used = at.cpu_ms()
            tab.goto(at.address, wait_until="commit")
            tab.get_by_role("heading", level=1).first.wait_for()
            title.append(tab.evaluate("() => performance.now()"))
            _settle(tab)
            seen = tab.evaluate("() => window.watched")
            page.append(seen["page"])
            server.append(at.cpu_ms() - used)
            grounds.add(f"{theme}: {' → '.join(tab.evaluate('() => window.grounds'))}")
    for each in sorted(grounds):
        print(f"ground, {each}")
    return {
        "click": "Home: fresh start",
        "figure": statistics.median(title),
        "page": statistics.median(page),
        "server": statistics.median(server),
        "browser": 0.0,
        "kB": 0.0,
        "goal": START_MS,
    }


def prepare(root: Path) -> None:
    """Make runs with a calibration and with sensitivities, where the home has none."""
    found = Index(Library(root)).summaries()
    missing = []
    if not any(run.recipe.calibration for run in found):
        missing.append(Recipe())
    if not any(run.recipe.precision for run in found):
        missing.append(demo_recipe())
    if missing:
        os.environ["QUANTSCOPE_HOME"] = str(root)
        import qcore

        for recipe in missing:
            qcore.run(recipe)


def main() -> int:
    """Print the table, write the JSON, fail where a goal is missed."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--home", type=Path, default=home())
    options.add_argument("--repeats", type=int, default=10)
    options.add_argument("--only", default="", help="clicks whose names contain this")
    asked = options.parse_args()
    installed = find_chromium()
    if installed is None:
        print("no Chromium: nothing was measured")
        return 0
    playwright = importlib.import_module("playwright.sync_api")  # a tool of development
    chosen = [click for click in CLICKS if asked.only in click.name]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(installed), args=FLAGS)
        rows = []
        if chosen:
            prepare(asked.home)
            with dashboard(asked.home) as at:
                rows = [clicks(browser, at, click, asked.repeats) for click in chosen]
        if asked.only in "Home: fresh start":
            rows.append(starts(browser))
        browser.close()
    print(_measure.table(rows))
    print("figure: ms until it stands (fresh start: the title); page: all of it; then CPU ms")
    if not asked.only:
        _measure.save("settle", rows)
    return 0 if all(row["figure"] <= row["goal"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
