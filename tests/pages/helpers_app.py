"""What an opened page says and offers."""

from __future__ import annotations

import json


def texts(app) -> str:
    """All that the page says in words."""
    parts = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.error, *app.info]
    return "\n".join(str(part.value) for part in parts)


def button(app, label: str):
    return next(item for item in app.button if item.label == label)


def spec(app) -> dict:
    return json.loads(app.get("plotly_chart")[0].proto.spec)
