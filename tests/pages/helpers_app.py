"""What an opened page says and offers."""

from __future__ import annotations

import json


def texts(app) -> str:
    """All that the page says in words."""
    parts = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.error, *app.info]
    return "\n".join(str(part.value) for part in parts)


def button(app, label: str):
    return next(item for item in app.button if item.label == label)


def specs(app) -> list[dict]:
    """Every figure of the page as it is sent."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component")]
    return [json.loads(each["figure"]) for each in found if "figure" in each]


def spec(app, place: int = 0) -> dict:
    return specs(app)[place]
