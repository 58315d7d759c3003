"""Which requests reach the dashboard: by their Host and Origin headers, over HTTP and websocket."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from pages._ui.hosts import HEADERS, VARIABLE, KnownHosts, configured, read

LOCAL = ("127.0.0.1", 8501)


async def inner(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


def answer(kind: str, *headers: tuple[str, str], server=LOCAL, hosts=frozenset()) -> list[dict]:
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {
        "type": kind,
        "server": server,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    # In a thread of its own: a browser test before it may have left a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, KnownHosts(inner, hosts)(scope, receive, send)).result()
    return sent


def let_in(*headers: tuple[str, str], **options) -> bool:
    page = answer("http", *headers, **options)[0]["status"] == 200
    stream = answer("websocket", *headers, **options)[0]["type"] == "websocket.accept"
    assert page == stream
    return page


@pytest.mark.parametrize(
    "host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST:8501"]
)
def test_this_machine_is_answered_by_its_own_names(host):
    assert let_in(("host", host))
    assert let_in(("host", host), ("origin", f"http://{host}"))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example:8501",
        "localhost:8502",
        "localhost",
        "",
        "a@localhost:8501",
        "localhost:8501/x",
        "localhost:99999",
        "[::1",
        "192.168.1.5:8501",
    ],
)
def test_another_name_or_port_is_refused(host):
    assert not let_in(("host", host))


def test_a_request_without_a_host_or_with_two_is_refused():
    assert not let_in()
    assert not let_in(("host", "localhost:8501"), ("host", "localhost:8501"))


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "http://localhost",
        "http://127.0.0.1:8501",
        "null",
        "file://",
        "https://evil.example",
        "chrome-extension://localhost:8501",
    ],
)
def test_a_page_of_another_origin_is_refused(origin):
    assert not let_in(("host", "localhost:8501"), ("origin", origin))


def test_a_name_that_points_here_is_refused_with_its_own_origin():
    rebound = "evil.example:8501"
    assert not let_in(("host", rebound), ("origin", f"http://{rebound}"))


def test_listed_hosts_are_answered_at_the_listed_port_or_at_any(monkeypatch):
    monkeypatch.setenv(VARIABLE, "Quant.example.org, localhost:9000, http://no.host, ")
    hosts = configured()
    assert hosts == {("quant.example.org", None), ("localhost", 9000)}
    proxied = ("origin", "https://quant.example.org")
    assert let_in(("host", "quant.example.org"), proxied, hosts=hosts)
    assert let_in(("host", "localhost:8501"), proxied, hosts=hosts)
    assert let_in(("host", "localhost:9000"), hosts=hosts)
    assert not let_in(("host", "localhost:9001"), hosts=hosts)


def test_a_server_open_to_the_network_is_answered_by_the_address_that_was_reached():
    server = ("192.168.1.5", 8501)
    assert let_in(("host", "192.168.1.5:8501"), server=server)
    assert not let_in(("host", "evil.example:8501"), server=server)
    assert not let_in(("host", "localhost:8501"), server=server)


def test_the_port_of_the_web_need_not_be_named():
    assert let_in(("host", "localhost"), server=("127.0.0.1", 80))


def test_every_answer_forbids_frames_and_outside_sources():
    for host in ("localhost:8501", "evil.example"):
        given = dict(answer("http", ("host", host))[0]["headers"])
        for name, value in HEADERS.items():
            assert given[name.lower().encode()] == value.encode()
    assert "frame-ancestors 'self'" in HEADERS["Content-Security-Policy"]


def test_the_refusal_says_what_to_do_and_repeats_nothing():
    start, body = answer("http", ("host", "evil.example"))
    assert start["status"] == 403
    assert VARIABLE in body["body"].decode()
    assert "evil" not in body["body"].decode()


def test_what_is_no_host_reads_as_none():
    assert read("a b") is None or read("a b") == ("a b", None)
    assert read("x:y") is None
