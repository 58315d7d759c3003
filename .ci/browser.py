"""See that the browser tests have a Chromium: an installed one, else playwright's, else apt's.

Each attempt has a time limit, and a failure is no error: the browser tests then skip and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from qcore.machine.chromium import find_chromium

PLAYWRIGHT_SECONDS = 180
APT_SECONDS = 240


def attempt(command: list[str], seconds: int) -> bool:
    """Whether the command ended well in time; its last words are printed if not."""
    print("$", " ".join(command), flush=True)
    try:
        done = subprocess.run(command, timeout=seconds, capture_output=True, text=True, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  gave up: {error}")
        return False
    if done.returncode:
        print("  " + "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-2:]))
    return done.returncode == 0


def starts(chromium: Path) -> bool:
    """Whether it runs at all: a downloaded one may lack shared libraries."""
    return attempt([str(chromium), "--version"], 30)


def main() -> None:
    """Find a Chromium or try to install one."""
    found = find_chromium()
    if found:
        print(f"browser tests use {found}")
        return
    playwright = [sys.executable, "-m", "playwright"]
    if attempt([*playwright, "install", "chromium"], PLAYWRIGHT_SECONDS):
        found = find_chromium()
        if found and starts(found):
            print(f"browser tests use {found}")
            return
        # Left in place it would turn skipped tests into failing ones.
        attempt([*playwright, "uninstall"], 60)
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        attempt(["apt-get", "update"], APT_SECONDS)
        attempt(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], APT_SECONDS)
    found = find_chromium()
    if found:
        print(f"browser tests use {found}")
    else:
        print("no Chromium: browser tests will be skipped; install one or set CHROMIUM=/path")


if __name__ == "__main__":
    main()
