"""The first paint: in the colours of the dashboard, and with its modules at hand.

Streamlit's page is white until its scripts run, then has Streamlit's colours, and ours once the
server has told them: in the dark theme three grounds within a second. Ours are therefore written
into the page itself, as its ground and as the themes that Streamlit starts with.

The first page that a server shows must import what pages need; `warm` begins with that while
the server itself starts.
"""

from __future__ import annotations

import importlib
import json
import threading

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.config import get_option

_COLOURS = (
    "primaryColor",
    "backgroundColor",
    "secondaryBackgroundColor",
    "textColor",
    "borderColor",
    "linkColor",
    "codeBackgroundColor",
    "codeTextColor",
)
_MODULES = ("pandas", "plotly.graph_objects", "plotly.io", "pages._ui.empty", "pages._ui.runs.view")

# Streamlit keeps under this key what a visitor chose in its menu.
_SCRIPT = """<script>
(() => {
    const themes = THEMES;
    let name = matchMedia("(prefers-color-scheme: dark)").matches ? "Dark" : "Light";
    try {
        const kept = JSON.parse(localStorage.getItem(`stActiveTheme-${location.pathname}-v2`));
        if (kept in themes) name = kept;
    } catch {}
    document.documentElement.style.background = themes[name].backgroundColor;
    window.__streamlit = {LIGHT_THEME: themes.Light, DARK_THEME: themes.Dark};
})();
</script>"""


def warm() -> None:
    """Import what the first page needs, beside whatever else the process does."""
    threading.Thread(target=_import, daemon=True, name="warm").start()


def _import() -> None:
    for name in _MODULES:
        importlib.import_module(name)


def snippet() -> bytes:
    """What the page's head starts with."""
    themes = {
        name: {
            colour: value
            for colour in _COLOURS
            if (value := get_option(f"theme.{name.lower()}.{colour}"))
        }
        for name in ("Light", "Dark")
    }
    return _SCRIPT.replace("THEMES", json.dumps(themes)).encode()


class OneGround:
    """Middleware that writes the dashboard's colours into Streamlit's page."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a page of HTML gets the colours after its `<head>`."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def told(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_page(message):
                start = message
            elif start is None or message["type"] != "http.response.body":
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    whole = body.replace(b"<head>", b"<head>" + snippet(), 1)
                    headers = MutableHeaders(scope=start)
                    headers["Content-Length"] = str(len(whole))
                    del headers["ETag"], headers["Last-Modified"]
                    await send(start)
                    await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, told)


def _is_page(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    kind, coded = headers.get("content-type", ""), headers.get("content-encoding")
    return message["status"] == 200 and kind.startswith("text/html") and not coded
