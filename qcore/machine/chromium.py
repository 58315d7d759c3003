"""Where a Chromium may lie: the dashboard needs none, its browser tests and screenshots do.

An installed browser comes first: playwright's own is a download that many networks refuse.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLAYWRIGHTS = ("chrome", "headless_shell", "chrome-headless-shell", "Chromium")


def find_chromium() -> Path | None:
    """$CHROMIUM, else the usual names on PATH, else the newest that playwright downloaded."""
    for name in (os.environ.get("CHROMIUM"), *ON_PATH):
        found = shutil.which(name) if name else None
        if found:
            return Path(found)
    return max(_downloaded(), key=_revision, default=None)


def _downloaded() -> list[Path]:
    """Executables in playwright's folder, which lie at `chromium…-REVISION/…/EXECUTABLE`."""
    base = "Library/Caches" if platform.system() == "Darwin" else ".cache"
    given = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    folder = Path(given) if given else Path.home() / base / "ms-playwright"
    return [
        path
        for path in folder.glob("chromium*-*/**/*")
        if path.name in PLAYWRIGHTS and path.is_file() and os.access(path, os.X_OK)
    ]


def _revision(path: Path) -> int:
    """The number at the end of the `chromium…-REVISION` folder above."""
    folder = next(part for part in reversed(path.parts) if part.startswith("chromium"))
    number = folder.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
