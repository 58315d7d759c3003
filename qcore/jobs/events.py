"""A job's events: JSON lines, appended by whoever has something to say.

A line is one `write` to a file opened for appending, so writers do not tear each other's lines. A
crash or a full disk can tear one: a torn last line is not there yet for a reader, and the next
writer ends it first. A line that nobody can read still counts as one event, a warning, so that
"from the 200th on" means the same to every reader.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from qcore.errors import QuantscopeError
from qcore.progress import Event

CHUNK = 1 << 16


def append(path: Path, event: Event) -> bool:
    """Write one event through to the file; False when that failed, which nobody should die of."""
    line = event.to_json().encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = b"\n" + line if torn else line
        return os.write(descriptor, data) == len(data)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def read(path: Path, after: int = 0) -> list[Event]:
    """The events from the `after`-th on; none when there is no file."""
    try:
        with path.open("rb") as file:
            lines = [line for line in itertools.islice(file, max(0, after), None)]
    except OSError:
        return []
    return [_parsed(line) for line in lines if line.endswith(b"\n")]


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file, without reading the rest; empty when there is no file."""
    if lines < 1:
        return ""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= lines:
                step = min(CHUNK, position)
                position -= step
                file.seek(position)
                data = file.read(step) + data
    except OSError:
        return ""
    return "\n".join(data.decode(errors="replace").splitlines()[-lines:])


def _parsed(line: bytes) -> Event:
    try:
        return Event.from_json(line.decode())
    except (QuantscopeError, UnicodeDecodeError):
        return Event(
            "job", kind="warning", message="a line of the event file is unreadable", time=0.0
        )
