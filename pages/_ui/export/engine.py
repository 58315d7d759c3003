"""What the Export page asks of the engine: records, a place to write to, and a process that writes.

An export runs in a process of its own, the command line's: it goes on when the page is closed, and
a model is never loaded into the dashboard. The page writes under the home folder alone; the command
line writes wherever it is told.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from qcore.errors import ExportError
from qcore.export.records import Export, Exports
from qcore.jobs.local.process import spawn
from qcore.machine.home import home

LAYOUTS = {
    "compressed-tensors": "compressed-tensors, for transformers and vLLM",
    "gguf": "GGUF, for llama.cpp",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ROOT = Path(__file__).parents[3]


def exports_of(report: str) -> list[Export]:
    """What is known of a run's exports, the newest first."""
    return Exports(home()).of(report)


def place_of(name: str) -> Path:
    """The folder that an export of this name is written to.

    Raises:
        ExportError: no name of a folder, or one that exists.
    """
    if not _NAME.fullmatch(name):
        raise ExportError(
            f"{name[:60]!r} is no name for a folder",
            remedy="use letters, digits, dots, dashes and underscores",
        )
    target = home() / "exported" / name
    if target.exists():
        raise ExportError(f"{name} exists already", remedy="choose another name")
    return target


def start(report: str, layout: str, name: str) -> None:
    """Let a process export a run.

    Raises:
        ExportError: as `place_of`.
    """
    target = place_of(name)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = home() / "exports"
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = ["-m", "qcore", "export", report, "--to", layout, "--out", str(target)]
    spawn(
        [sys.executable, *command],
        cwd=_ROOT,
        log=logs / f"{report}.{layout}.log",
        environment={"QUANTSCOPE_HOME": str(home())},
    )
