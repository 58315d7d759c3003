"""What a keyboard and a screen reader find: axe-core over every page, in both themes.

axe-core comes with a package that only the tests need, and of which only the script is used; let
$AXE_CORE name a folder with another `axe.min.js` to try that one.
"""

from __future__ import annotations

import os
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from qcore.jobs.local.backend import LocalBackend

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PAGES = (
    *("", "new_run", "jobs", "outliers", "scales", "bits"),
    *("pareto", "compare", "suffix", "share"),
)
SERIOUS = ("serious", "critical")
SETTLED = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && !document.querySelector('[data-testid=stSkeleton]')
        && [...document.querySelectorAll('.qs-figure')].every(f => f.querySelector('.main-svg'));
}"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe.min.js."""
    given = os.environ.get("AXE_CORE")
    folder = Path(given) if given else files("axe_playwright_python")
    return folder.joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault(chromium, filled_address, axe, theme):
    tab = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    tab.set_default_timeout(60_000)
    found = []
    for page in PAGES:
        tab.goto(f"{filled_address}/{page}")
        tab.wait_for_function(SETTLED)
        tab.wait_for_timeout(700)
        tab.evaluate(axe)
        for fault in tab.evaluate("async () => (await axe.run()).violations"):
            if fault["impact"] in SERIOUS:
                where = [node["html"][:160] for node in fault["nodes"]]
                found.append(f"{page or 'home'}: {fault['id']} ×{len(where)}: {where[:2]}")
    tab.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("clicked", [False, True])
def test_a_run_is_submitted_from_the_keyboard(chromium, fresh_address, tmp_path, clicked):
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(60_000)
    tab.goto(f"{fresh_address}/new_run")
    tab.get_by_role("button", name="Run it").wait_for()
    tab.wait_for_function(SETTLED)
    if clicked:
        knob = tab.get_by_role("toolbar", name="Rounding", exact=True)
        knob.get_by_role("button", name="RTN", exact=True).click()
        tab.wait_for_url("**rounding.method=**")
        tab.wait_for_function(SETTLED)
        tab.wait_for_timeout(1500)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_url("**/jobs**")
    tab.close()
    with closing(LocalBackend(tmp_path / "home")) as queue:
        (job,) = queue.jobs(5)
        queue.cancel(job.id)
