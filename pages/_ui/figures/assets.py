"""The scripts that draw figures, served from this machine: ours, and plotly's from its package."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

_SCRIPT = Path(__file__).with_name("plot.js")
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


@functools.cache
def version() -> str:
    """What changes with our script or with plotly's version, for addresses that are kept long."""
    import plotly

    return hashlib.sha256(_SCRIPT.read_bytes() + plotly.__version__.encode()).hexdigest()[:12]


def script(_: Request) -> FileResponse:
    """Our script; its address carries its version."""
    return FileResponse(_SCRIPT, media_type="text/javascript", headers=_KEPT)


def library(_: Request) -> FileResponse:
    """plotly.js as the Python package brings it."""
    path = files("plotly") / "package_data" / "plotly.min.js"
    return FileResponse(str(path), media_type="text/javascript", headers=_KEPT)


ROUTES = [Route("/figures/plot.js", script), Route("/figures/plotly.js", library)]
