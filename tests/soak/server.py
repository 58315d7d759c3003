"""A dashboard of its own: started, opened in a browser, and killed without a word."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qcore.machine.chromium import find_chromium
from tests.soak.workshop import wait

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHECKOUT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SETTLED = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && document.querySelector('[data-testid=stMain] h1')
        && !document.querySelector('[data-testid=stSkeleton]');
}"""


class Dashboard:
    """A server on a free port, over the home `root`; its output is in `root`.txt."""

    def __init__(self, root: Path, **environment: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.root = root
        self.address = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "QUANTSCOPE_HOME": str(root), **environment}
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        flags = ["--server.headless=true", "--browser.gatherUsageStats=false"]
        command = [sys.executable, "-m", "streamlit", "run", "app.py", *flags]
        with self.root.with_suffix(".txt").open("ab") as output:
            self.process = subprocess.Popen(
                [*command, f"--server.port={self.port}", "--server.address=127.0.0.1"],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        if not wait(self.answers, 120, 0.2):
            raise RuntimeError(f"no answer within 120 s: {self.root.with_suffix('.txt')}")

    def answers(self) -> bool:
        """Whether it says that it is well."""
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """As the kernel would: it has no say in it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def dashboard(root: Path, **environment: str) -> Iterator[Dashboard]:
    """A dashboard that is gone afterwards."""
    made = Dashboard(root, **environment)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """An installed browser; None where there is none."""
    from playwright.sync_api import sync_playwright

    installed = find_chromium()
    if installed is None:
        yield None
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(installed), args=FLAGS)
        yield browser
        browser.close()


def faults(page: Page, address: str, seconds: float = 120) -> list[str]:
    """What is wrong with a page that is opened: it does not settle, or shows a trace."""
    try:
        page.goto(address, timeout=seconds * 1000)
        page.wait_for_function(SETTLED, timeout=seconds * 1000, polling=200)
    except Exception as error:
        return [f"{address} did not settle: {str(error).splitlines()[0]}"]
    traces = page.locator("[data-testid=stException]").all_inner_texts()
    return [f"{address} shows a trace: {text[:200]}" for text in traces]
