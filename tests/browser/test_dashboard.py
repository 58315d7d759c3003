"""What only a browser shows: the app starts, follows the knobs, and is clean in both themes."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

# Streamlit's own, offline and on deep links: its host config and health probes under the page.
_NOISE = ("status of 404", "ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED")
_PATIENCE_MS = 60_000


@pytest.fixture(params=["light", "dark"])
def tab(chromium, request):
    """A page in one theme that fails its test on any console error."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    page.set_default_timeout(_PATIENCE_MS)
    errors: list[str] = []

    def note(message) -> None:
        if message.type == "error" and not any(word in message.text for word in _NOISE):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


def test_home_invites_on_the_first_visit(tab, address):
    tab.goto(address)
    tab.get_by_role("button", name="Run the demo sweep").wait_for()
    tab.get_by_role("heading", name="This machine").wait_for()
    assert tab.locator("[data-testid=stException]").count() == 0


def test_the_number_of_runs_follows_the_knobs(tab, address):
    tab.goto(f"{address}/new_run")
    runs = tab.get_by_test_id("stMetricValue").first
    runs.get_by_text("1", exact=True).wait_for()
    for row, more, count in (("Rounding", "Qronos", "2"), ("Scale", "absmax", "4")):
        knob = tab.get_by_role("toolbar", name=row, exact=True)
        knob.get_by_role("button", name="several").click()
        knob.get_by_role("button", name=more, exact=True).click()
        runs.get_by_text(count, exact=True).wait_for()
    tab.wait_for_url("**scales.method=**")
    tab.reload()
    runs.get_by_text("4", exact=True).wait_for()
    assert tab.locator("[data-testid=stException]").count() == 0


@pytest.mark.parametrize("page", ["jobs", "pareto"])
def test_an_empty_page_says_what_to_do_next(tab, address, page):
    tab.goto(f"{address}/{page}")
    tab.get_by_role("button", name="Choose my own").click()
    tab.get_by_role("heading", name="What shall I try?").wait_for()


def test_a_deep_link_into_a_fresh_server_opens_the_whole_app(fresh_address, tab):
    tab.goto(f"{fresh_address}/pareto")
    tab.get_by_role("heading", name="No finished runs yet").wait_for()
    tab.get_by_role("link", name="New run").wait_for()
    assert tab.get_by_role("link", name="pareto", exact=True).count() == 0


def test_clicking_a_point_opens_its_report_and_writes_it_into_the_address(filled_address, tab):
    tab.goto(f"{filled_address}/pareto")
    point = tab.locator(".js-plotly-plot .scatterlayer path.point").first
    point.wait_for()
    tab.wait_for_timeout(1500)  # plotly answers the mouse only after its last layout
    box = point.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 2, y)
    tab.mouse.move(x, y)
    tab.locator(".js-plotly-plot .hoverlayer .hovertext").wait_for()
    tab.wait_for_timeout(700)  # a hand's pace: plotly drops a click that follows its hover at once
    tab.mouse.click(x, y, delay=80)
    tab.wait_for_url("**runs=**")
    tab.get_by_role("heading", name="GPTQ").wait_for()
