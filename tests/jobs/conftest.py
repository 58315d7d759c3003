"""A home of its own for each test, and no process left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.jobs.helpers_home import Home, no_children, wait


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    for found in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in (found.info["cmdline"] or []):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()
    wait(no_children)
    made.backend.close()
