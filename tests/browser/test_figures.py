"""Figures in a real browser: saved with one click, and updated without losing their zoom."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def tab(chromium, filled_address):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{filled_address}/pareto")
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    yield page
    page.close()


@pytest.mark.parametrize(
    ("kind", "start"), [("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("CSV", b"series,x,y")]
)
def test_a_figure_is_saved_with_one_click(tab, kind, start):
    with tab.expect_download() as saved:
        tab.get_by_role("button", name=f"{kind}: Save").click()
    path = saved.value.path()
    assert saved.value.suggested_filename.endswith(f".{kind.lower()}")
    assert path.read_bytes().startswith(start)


def test_the_zoom_stays_when_a_run_is_selected(tab):
    tab.evaluate("""() => {
        const plot = document.querySelector('.js-plotly-plot');
        window.kept = plot;
    }""")
    drag = tab.locator(".js-plotly-plot .nsewdrag").bounding_box()
    left, top = drag["x"] + drag["width"] * 0.02, drag["y"] + drag["height"] * 0.02
    tab.mouse.move(left, top)
    tab.mouse.down()
    tab.mouse.move(left + drag["width"] * 0.9, top + drag["height"] * 0.9, steps=8)
    tab.mouse.up()
    tab.wait_for_timeout(500)
    zoom = "() => window.kept._fullLayout.xaxis.range.map(each => each.toFixed(6)).join()"
    zoomed = tab.evaluate(zoom)
    tab.get_by_test_id("stSelectbox").filter(has_text="Quality").locator("input").click()
    tab.get_by_role("option").last.click()
    tab.wait_for_timeout(2500)
    assert tab.evaluate("() => window.kept.isConnected")
    assert tab.evaluate(zoom) == zoomed
