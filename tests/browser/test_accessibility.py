"""What a keyboard and a screen reader find: axe-core over every page, in both themes.

axe-core is an npm package and no part of the product: `npm install axe-core`, or let $AXE_CORE name
the folder of the package. Without it these tests are skipped.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from qcore.jobs.local.backend import LocalBackend

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PAGES = ("", "new_run", "jobs", "outliers", "scales", "bits", "pareto", "compare", "share")
SERIOUS = ("serious", "critical")
_ROOT = Path(__file__).resolve().parents[2]
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
    folder = Path(given) if given else _ROOT / "node_modules" / "axe-core"
    script = folder / "axe.min.js"
    if not script.is_file():
        pytest.skip("no axe-core: npm install axe-core, or name its folder in AXE_CORE")
    return script.read_text(encoding="utf-8")


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


def test_a_run_is_submitted_from_the_keyboard(chromium, fresh_address, tmp_path):
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(60_000)
    tab.goto(f"{fresh_address}/new_run")
    tab.get_by_role("button", name="Run it").wait_for()
    tab.wait_for_function(SETTLED)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_url("**/jobs**")
    tab.close()
    with closing(LocalBackend(tmp_path / "home")) as queue:
        (job,) = queue.jobs(5)
        queue.cancel(job.id)
