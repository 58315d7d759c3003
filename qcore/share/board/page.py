"""Put a board together: one HTML file that asks nobody for anything.

Plotly's own minified file stands in it once, as its Python package brings it. The data is JSON,
packed by gzip and written in base64, so nothing in it can end a script or be taken for markup; the
browser unpacks it (DecompressionStream). The board's own scripts are modules in files of their own
beside this one, each of them readable and linted; here their import lines go, since a page from
`file://` may load no module.

A Content-Security-Policy lets these two scripts run, by their digests, and nothing be loaded.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from qcore.errors import ShareError

SCRIPTS = (
    "palette.js",
    "numbers.js",
    "statistics.js",
    "elements.js",
    "link.js",
    "chart.js",
    "front.js",
    "table.js",
    "compare.js",
    "layers.js",
    "outliers.js",
    "tokens.js",
    "recipes.js",
    "board.js",
)
"""In an order in which each finds what it uses."""

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r"^import\s[^;]*?from\s+\"[^\"]+\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export\s+", re.MULTILINE)


def page(data: Mapping[str, Any]) -> str:
    """The board of this data, as HTML."""
    plotly, script = _plotly(), board_script()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(plotly)} {_digest(script)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    title = html.escape(str(data["title"]))
    return _PAGE.format(
        policy=policy,
        title=title,
        style=(_FOLDER / "board.css").read_text(encoding="utf-8"),
        data=packed(data),
        plotly=plotly,
        script=script,
    )


def packed(data: Mapping[str, Any]) -> str:
    """JSON through gzip, in base64."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


@functools.cache
def board_script() -> str:
    """The board's modules as one script."""
    parts = []
    for name in SCRIPTS:
        text = (_FOLDER / name).read_text(encoding="utf-8")
        parts.append(f"// {name}\n{_EXPORT.sub('', _IMPORT.sub('', text))}")
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


@functools.cache
def _plotly() -> str:
    """plotly.js, minified, from its Python package; nothing of Python's is imported.

    Raises:
        ShareError: it is not installed, or a script could not hold it.
    """
    try:
        found = distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
        text = Path(str(found)).read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise ShareError(
            "plotly is not installed, and a board draws with its script",
            remedy="run `make install`",
        ) from error
    if "</script" in text.lower() or "<!--" in text:
        raise ShareError(
            "plotly's script holds the end of a script", remedy="install the pinned version"
        )
    return text


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="Quantscope">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><h1>{title}</h1><nav id="views" aria-label="Views"></nav></header>
<main id="content" tabindex="-1"><p id="waiting">Unpacking the runs …</p></main>
<noscript><p>This board is drawn by its own script; allow scripts to see it.</p></noscript>
<script type="application/octet-stream" id="data">{data}</script>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""
