"""The real app on a free port, with a home of its own, and an installed Chromium before it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qcore.machine.chromium import find_chromium
from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.report.factories import report_of

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
_START_SECONDS = 90.0


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """A fresh dashboard over an empty home in `folder`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "app.txt"
    environment = {**os.environ, "QUANTSCOPE_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    with log.open("w") as output:
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        _wait(f"http://localhost:{port}/_stcore/health", app, log)
        yield f"http://localhost:{port}"
    finally:
        app.terminate()
        app.wait(timeout=20)


@pytest.fixture(scope="session")
def address(tmp_path_factory) -> Iterator[str]:
    """Where a dashboard listens that all tests share."""
    with dashboard(tmp_path_factory.mktemp("shared")) as at:
        yield at


@pytest.fixture
def fresh_address(tmp_path) -> Iterator[str]:
    """Where a dashboard listens that nobody has opened yet."""
    with dashboard(tmp_path) as at:
        yield at


@pytest.fixture
def filled_address(tmp_path) -> Iterator[str]:
    """Where a dashboard listens that has two finished runs."""
    library = Library(tmp_path / "home")
    for name, perplexity in (("int4", 60.0), ("int8", 31.0)):
        recipe = Recipe.from_dict({"weights": {"format": name}})
        library.add(report_of(recipe, perplexity=perplexity))
    with dashboard(tmp_path) as at:
        yield at


def _wait(url: str, app: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert app.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer within {_START_SECONDS:.0f} s: {log.read_text()}")


@pytest.fixture(scope="session")
def chromium():
    """A browser: an installed one, or Playwright's own; without either the tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    installed = find_chromium()
    if installed is None:
        pytest.skip("no Chromium: install one, or run `playwright install chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(installed), args=FLAGS)
        yield browser
        browser.close()
