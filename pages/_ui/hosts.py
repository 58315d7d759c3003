"""Which requests the dashboard answers, and which pages may show it in a frame.

A page of another site can reach a server on this machine through the visitor's browser: by a name
of its own that it lets point to 127.0.0.1 (DNS rebinding), or by a websocket, which browsers open
across sites. Both give themselves away in the headers `Host` and `Origin`, which a page cannot
choose. So a request is answered only

    Host      names this machine as it was configured: localhost or the address listened on, with
              the port listened on; or an entry of QUANTSCOPE_HOSTS
    Origin    is absent (no browser, or a page's own plain request), names the same host, or an
              entry of QUANTSCOPE_HOSTS

and answers say that only our own pages may frame them and where they may load from.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.config import get_option

VARIABLE = "QUANTSCOPE_HOSTS"
"""Further hosts, with commas between: `quant.example.org, localhost:9000`; without a port, any."""

_OWN = "'self'"
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            f"default-src {_OWN}",
            # Streamlit writes styles and Plotly compiles functions while it runs.
            f"script-src {_OWN} 'unsafe-inline' 'unsafe-eval' blob:",
            f"style-src {_OWN} 'unsafe-inline'",
            f"img-src {_OWN} data: blob:",
            f"font-src {_OWN} data:",
            f"media-src {_OWN} data: blob:",
            f"worker-src {_OWN} blob:",
            f"frame-ancestors {_OWN}",
            f"form-action {_OWN}",
            f"base-uri {_OWN}",
            "object-src 'none'",
        )
    ),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

_Place = tuple[str, int | None]
"""A host's name in lower case, and its port, None where none is named."""


def configured() -> frozenset[_Place]:
    """The hosts that QUANTSCOPE_HOSTS lists, and the name to listen on where it is one."""
    entries = os.environ.get(VARIABLE, "").split(",")
    address = str(get_option("server.address") or "")
    if address and address != "localhost" and not _is_ip(address):
        entries.append(address)
    return frozenset(place for entry in entries if (place := read(entry.strip())))


def read(host: str) -> _Place | None:
    """A `Host` header's name and port; None for what is no host."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != host or parts.username is not None:
        return None
    return name.rstrip("."), port


class KnownHosts:
    """Middleware that refuses strangers' requests and adds the protecting headers to answers."""

    def __init__(self, app: ASGIApp, hosts: Collection[_Place] = ()):
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, protected)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: 403
        else:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, protected)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        asked = headers.getlist("host")
        place = read(asked[0]) if len(asked) == 1 else None
        if place is None or not (place in _own(scope) or self._listed(place)):
            return (
                "Quantscope does not answer to this host name. If you reach it by this name, "
                f"through a proxy or a forwarded port, start it with {VARIABLE}=NAME:PORT.\n"
            )
        for origin in headers.getlist("origin"):
            scheme, _, host = origin.partition("://")
            page = read(host) if scheme in ("http", "https") else None
            if page is None or not (host.lower() == asked[0].lower() or self._listed(page)):
                return (
                    "Quantscope does not answer to pages of other sites. If this one is yours, "
                    f"start it with {VARIABLE}=NAME:PORT.\n"
                )
        return None

    def _listed(self, place: _Place) -> bool:
        return place in self._hosts or (place[0], None) in self._hosts


def _own(scope: Scope) -> set[_Place]:
    """How this machine is called by those who reach the socket that the request came in by."""
    address, port = scope.get("server") or ("", None)
    names = {address.lower()}
    plain = address.partition("%")[0]
    if _is_ip(plain):
        local = ipaddress.ip_address(plain)
        mapped = getattr(local, "ipv4_mapped", None) or local
        names |= {str(local), str(mapped)}
        if mapped.is_loopback:
            names |= {"localhost", "127.0.0.1", "::1"}
    ports = {port, None} if port in (80, 443) else {port}
    return {(name, each) for name in names for each in ports}


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
