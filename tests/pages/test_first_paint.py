"""The page starts in the dashboard's own colours, whatever its themes are."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.config import get_option

from pages._ui.first_paint import OneGround

_PAGE = "<!DOCTYPE html><html><head><title>x</title></head><body><head></body></html>"


@pytest.fixture
def client() -> TestClient:
    kinds = {"/page": HTMLResponse, "/text": PlainTextResponse, "/data": JSONResponse}
    routes = [Route(path, _answer(kind)) for path, kind in kinds.items()]
    return TestClient(OneGround(Starlette(routes=routes)))


def _answer(kind):
    async def answer(_):
        return kind(_PAGE, headers={"ETag": "x"})

    return answer


def test_both_grounds_stand_in_the_page_before_any_script_runs(client):
    answer = client.get("/page")
    head = answer.text.partition("<title>")[0]
    for theme in ("light", "dark"):
        assert get_option(f"theme.{theme}.backgroundColor") in head
    assert answer.text.count("LIGHT_THEME") == 1
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers


@pytest.mark.parametrize("path", ["/text", "/data"])
def test_what_is_no_page_is_left_alone(client, path):
    answer = client.get(path)
    assert "LIGHT_THEME" not in answer.text
    assert answer.headers["etag"] == "x"
