"""What leaves the machine, and who may come in: a real server, a real browser, hostile names."""

from __future__ import annotations

import http.client
import json
import sqlite3
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from qcore.jobs.local.backend import LocalBackend
from qcore.recipe import Recipe
from qcore.report.labels import LONGEST_NAME, Labels
from qcore.report.library import Library
from tests.browser.conftest import dashboard
from tests.house.tree import page_addresses
from tests.pages.helpers_hostile import NAME, hostile_report

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SETTLED = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && !document.querySelector('[data-testid=stSkeleton]');
}"""
RENDERED = """() => [...document.querySelectorAll(
    'img[src*=evil], a[href*=evil], a[href^=javascript], .katex, b, [style*=evil]'
)].filter(node => node.closest('[data-testid=stMain]')).map(node => node.outerHTML)"""
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Where a dashboard listens whose reports and jobs carry a hostile name."""
    folder = tmp_path_factory.mktemp("hostile")
    home = folder / "home"
    library = Library(home)
    ids = [
        library.add(hostile_report(Recipe.from_dict({"weights": {"format": name}}))).id
        for name in ("int8", "int4")
    ]
    Labels(home).change(ids, name=NAME[:LONGEST_NAME], note=NAME, add_tags=[NAME[:20]])
    queue = LocalBackend(home)
    (job,) = queue.submit([Recipe.from_dict({"weights": {"format": "int3"}})])
    queue.close()
    with closing(sqlite3.connect(home / "jobs" / "queue.sqlite")) as table, table:
        table.execute(
            "UPDATE job SET state='failed', message=?, device=?, started=1, ended=2 WHERE id=?",
            (NAME, NAME, job.id),
        )
    with dashboard(folder) as address:
        yield address, ids


@pytest.mark.parametrize("page", page_addresses())
def test_no_page_asks_another_machine_or_renders_a_hostile_name(hostile, chromium, page):
    address, ids = hostile
    tab = chromium.new_page(viewport={"width": 1280, "height": 2400})
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    try:
        query = f"?runs={','.join(ids)}" if page in ("pareto", "compare") else ""
        tab.goto(f"{address}/{page}{query}", wait_until="domcontentloaded")
        tab.wait_for_function(SETTLED, timeout=90_000)
        tab.wait_for_timeout(1500)
        assert tab.evaluate(RENDERED) == []
        assert tab.title().endswith(" · Quantscope")
        if page in ("jobs", "pareto"):
            assert "http:" in tab.locator("[data-testid=stMain]").inner_text()
    finally:
        tab.close()
    local = ("data:", "blob:", f"{address}/")
    assert [url for url in asked if not url.startswith(local)] == []


def _status(address: str, path: str, **headers: str) -> int:
    place = urlsplit(address)
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)) as line:
        line.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            line.putheader(name, value)
        line.endheaders()
        return line.getresponse().status


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/stream"])
def test_the_server_answers_its_own_host_and_origin_alone(address, path):
    place = urlsplit(address).netloc
    extra = UPGRADE if path.endswith("stream") else {}
    welcome = 101 if extra else 200
    assert _status(address, path, Host=place, **extra) == welcome
    assert _status(address, path, Host=place, Origin=address, **extra) == welcome
    rebound = f"evil.example:{urlsplit(address).port}"
    assert _status(address, path, Host=rebound, Origin=f"http://{rebound}", **extra) == 403
    for origin in ("http://localhost:1", "https://evil.example", "null"):
        assert _status(address, path, Host=place, Origin=origin, **extra) == 403


@pytest.mark.parametrize("own", [True, False])
def test_the_dashboards_own_pages_alone_may_frame_it(address, chromium, own):
    outer = f"{address}/outer.html" if own else "http://localhost:1/outer.html"
    body = f"<iframe src={json.dumps(f'{address}/_stcore/health')}></iframe>"
    tab = chromium.new_page()
    try:
        tab.route(outer, lambda route: route.fulfill(content_type="text/html", body=body))
        tab.goto(outer)
        tab.wait_for_timeout(1500)
        inner = tab.frames[1]
        assert ("ok" in inner.locator("body").inner_text()) == own
        assert inner.url.startswith(address if own else "chrome-error:")
    finally:
        tab.close()
