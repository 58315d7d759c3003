"""A real dashboard on a free port and a Chromium before it, for the benchmarks of pages.

A figure *stands* at the last change inside it that a click causes. A script in the page watches all
changes, so that nothing of Streamlit's or plotly's own is asked when they believe to be done.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
START_SECONDS = 90.0

WATCH = """
window.watched = {figure: 0, page: 0, click: 0};
(() => {
    const now = () => performance.now();
    const mark = (event) => { window.watched.click = now(); };
    for (const kind of ['pointerup', 'keydown']) addEventListener(kind, mark, true);
    const inside = (node, what) => {
        const element = node.nodeType === 1 ? node : node.parentElement;
        return element && element.closest(what);
    };
    new MutationObserver((changes) => {
        for (const change of changes) {
            const node = change.target;
            if (inside(node, '.hoverlayer, .modebar, .draglayer')) continue;
            if (inside(node, '.js-plotly-plot')) window.watched.figure = now();
            else if (!inside(node, '[data-testid=stMain]')) continue;
            window.watched.page = now();
        }
    }).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
})();
"""

GROUNDS = """
window.grounds = [];
(() => {
    const ground = () => {
        const app = document.querySelector('[data-testid=stApp]') || document.body;
        if (app) {
            const clear = 'rgba(0, 0, 0, 0)';
            let colour = getComputedStyle(app).backgroundColor;
            const page = document.documentElement;
            if (colour === clear) colour = getComputedStyle(page).backgroundColor;
            const known = window.grounds;
            if (known[known.length - 1] !== colour) known.push(colour);
        }
        requestAnimationFrame(ground);
    };
    requestAnimationFrame(ground);
})();
"""

QUIET = """([ms, click]) => {
    const at = performance.now(), seen = window.watched;
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && !document.querySelector('[data-testid=stSkeleton]')
        && at - Math.max(seen.page, seen.figure, click ? seen.click : 0) > ms;
}"""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A running dashboard: where it listens, and its process."""

    address: str
    process: psutil.Process

    def cpu_ms(self) -> float:
        """Milliseconds of CPU that the server has used, over all its threads."""
        times = self.process.cpu_times()
        return (times.user + times.system) * 1000


@contextmanager
def dashboard(home: Path) -> Iterator[Dashboard]:
    """A fresh dashboard over `home`, ended with the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    app = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "QUANTSCOPE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://localhost:{port}/_stcore/health", app)
        yield Dashboard(f"http://localhost:{port}", psutil.Process(app.pid))
    finally:
        app.terminate()
        app.wait(timeout=20)


def _wait(url: str, app: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if app.poll() is not None:
            raise SystemExit(f"the dashboard ended at once, with status {app.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the dashboard did not answer within {START_SECONDS:.0f} s")
