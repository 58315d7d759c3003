"""From the first click to the first insight, as a hand does it, on a tiny network.

Home, the form, *Run* from the keyboard, the points that arrive on the Pareto page while one
watches, and the verdict on Compare. A stopwatch is printed (`pytest -s`), not asserted: how fast a
machine is says nothing of whether the path holds.
"""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from pages._ui.form import memory
from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of
from tests.browser.conftest import dashboard
from tests.browser.test_accessibility import SETTLED
from tests.pipeline.factories import write_checkpoint, write_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

_PATIENCE_MS = 150_000


class Stopwatch:
    """Seconds since the first click, by what was reached."""

    def __init__(self):
        self._begun = time.monotonic()
        self._at: dict[str, float] = {}

    def reach(self, what: str) -> None:
        self._at[what] = time.monotonic() - self._begun

    def __str__(self) -> str:
        return "\n".join(f"{seconds:7.1f} s  {what}" for what, seconds in self._at.items())


@pytest.fixture
def workbench(tmp_path):
    """A dashboard over an empty home, and the form's fields for a tiny network beside it."""
    text = f"file:{write_text(tmp_path / 'words.txt')}"
    recipe = Recipe.from_dict(
        {
            "model": {"source": "folder", "name": str(write_checkpoint(tmp_path / "tiny"))},
            "calibration": {"text": text, "windows": 4, "length": 24},
            "evaluation": {"text": text, "windows": 6, "length": 24},
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
        }
    )
    with dashboard(tmp_path) as address:
        yield address, memory.address(axes_of([recipe]))


def test_the_path_from_the_first_click_to_the_first_insight(chromium, workbench):
    address, fields = workbench
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(_PATIENCE_MS)
    tab.goto(address)
    tab.get_by_role("button", name="Run the demo sweep").wait_for()

    watch = Stopwatch()
    tab.get_by_role("link", name="New run").click()
    tab.get_by_role("heading", name="What shall I try?").wait_for()
    watch.reach("the form is open")

    query = "&".join(f"{path}={quote(value, safe='')}" for path, value in fields.items())
    tab.goto(f"{address}/new_run?{query}")
    runs = tab.get_by_test_id("stMetricValue").first
    runs.get_by_text("1", exact=True).wait_for()
    for marked, row, more, count in (
        ("Rounding", "Rounding", "GPTQ", "2"),
        ("Weight format", "Weights: INT, symmetric", "INT3", "4"),
    ):
        knob = tab.get_by_role("toolbar", name=marked, exact=True)
        knob.get_by_role("button", name="several").click()
        values = tab.get_by_role("toolbar", name=row, exact=True)
        values.get_by_role("button", name=more, exact=True).click()
        runs.get_by_text(count, exact=True).wait_for()
    tab.get_by_role("button", name="Run all 4").wait_for()
    watch.reach("four runs are chosen")
    tab.wait_for_function(SETTLED)
    tab.wait_for_timeout(1500)

    tab.keyboard.press("Control+Enter")
    tab.wait_for_url("**/jobs**")
    tab.get_by_text("4 runs:").first.wait_for()
    watch.reach("the sweep is submitted")

    tab.get_by_role("link", name="Pareto").click()
    points = tab.locator(".js-plotly-plot .scatterlayer path.point")
    points.first.wait_for()
    watch.reach("the first point has arrived by itself")
    tab.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')?.data"
        ".reduce((sum, trace) => sum + (trace.customdata?.length ?? 0), 0) >= 4"
    )
    watch.reach("all points have arrived")

    tab.get_by_role("link", name="Jobs").click()
    tab.get_by_role("link", name="Compare", exact=False).last.click()
    tab.wait_for_url("**/compare**")
    tab.get_by_text("Baseline.", exact=True).wait_for()
    watch.reach("the verdict is on the screen")
    assert tab.locator("[data-testid=stException]").count() == 0
    tab.close()
    print(f"\n{watch}")
