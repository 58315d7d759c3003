"""From two points to a filled waterfall, with real runs of a tiny network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore.report.library import Library
from tests.browser.conftest import dashboard
from tests.pipeline.factories import Workshop, write_checkpoint, write_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

_PATIENCE_MS = 240_000
_JOBS_MS = 400_000
"""Two jobs of a tiny network, in processes that import torch first, on a machine under load."""


@pytest.fixture
def tab(chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(_PATIENCE_MS)
    yield page
    page.close()


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A home with two finished runs: round to nearest, and MSE scales with GPTQ."""
    model = write_checkpoint(tmp_path / "tiny-llama")
    made = Workshop(tmp_path / "home", model, write_text(tmp_path / "prose.txt"))
    made.run(made.recipe(scales={"method": "absmax"}))
    made.run(made.recipe(rounding={"method": "gptq"}))
    return made


@pytest.fixture
def measured(shop: Workshop, tmp_path: Path) -> Iterator[str]:
    """Where a dashboard listens over that home."""
    with dashboard(tmp_path) as at:
        yield at


def sweep_over(tab, figure) -> None:
    """Draw a box over a whole figure."""
    figure.scroll_into_view_if_needed()
    figure.get_by_role("button", name="Box: Select").click()
    box = figure.locator(".nsewdrag").first.bounding_box()
    tab.mouse.move(box["x"] + 3, box["y"] + 3)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=10)
    tab.mouse.up()


def test_two_points_are_compared_token_by_token_and_their_waterfall_is_filled(tab, measured, shop):
    tab.goto(f"{measured}/pareto")
    front = tab.get_by_role("figure").first
    front.locator(".scatterlayer path.point").first.wait_for()
    tab.wait_for_timeout(1500)  # plotly answers the mouse only after its last layout
    sweep_over(tab, front)
    tab.wait_for_url(re.compile("runs=[0-9a-f]{16}%2C[0-9a-f]{16}"))
    tab.get_by_role("button", name="Compare 2").first.click()
    tab.get_by_role("heading", name="Why is B better than A").wait_for()
    tab.locator(".tokens span").first.wait_for()

    tab.get_by_role("heading", name="What is each technique worth?").wait_for()
    tab.get_by_role("button", name="Run 2 missing steps").click()
    tab.get_by_text("2 steps missing").or_(tab.get_by_text("1 step missing")).first.wait_for()
    tab.get_by_text("steps missing").or_(tab.get_by_text("step missing")).first.wait_for(
        state="detached", timeout=_JOBS_MS
    )
    out = tab.get_by_role("figure", name="techniques left out one at a time")
    out.locator(".barlayer .point path").nth(1).wait_for()
    added = tab.get_by_role("figure", name="techniques added one at a time")
    assert added.locator(".barlayer .point path").count() == 2
    assert len(list(Library(shop.root).reports())) == 4

    tab.goto(f"{measured}/jobs")
    tab.get_by_text("Waterfall of INT4").first.wait_for()
    assert tab.locator("[data-testid=stException]").count() == 0
