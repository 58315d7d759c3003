"""Figures as they are sent, and the scripts that draw them."""

from __future__ import annotations

import json

import plotly
import plotly.graph_objects as go
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pages._ui.figures import assets
from pages._ui.figures.view import encoded


def test_a_figure_is_sent_without_plotlys_template():
    sent = json.loads(encoded(go.Figure(go.Scatter(x=[1.0], y=[2.0]))))
    assert "template" not in sent["layout"]
    assert sent["data"][0]["x"] == [1.0]


@pytest.mark.parametrize("name", ["plot.js", "plotly.js"])
def test_scripts_come_from_this_machine_and_may_be_kept(name):
    answer = TestClient(Starlette(routes=assets.ROUTES)).get(f"/figures/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]


def test_the_version_follows_plotlys(monkeypatch):
    before = assets.version()
    assets.version.cache_clear()
    monkeypatch.setattr(plotly, "__version__", "0.0.0")
    assert assets.version() != before
    assets.version.cache_clear()
