"""A job's events: JSON lines, appended by whoever has something to say.

A line is one `write` to a file opened for appending, so writers do not tear each other's lines. A
crash or a full disk can tear one: a torn last line is not there yet for a reader, and the next
writer ends it first. A line that nobody can read still counts as one event, a warning, so that
"from the 200th on" means the same to every reader.

A file only grows, so a `Reader` remembers at which byte it stopped: whoever asks for the events
after those that it has costs what was appended, not what there is. A day's run leaves some 400,000
lines, and a page asks every second.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

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


class _Place(NamedTuple):
    """The byte `offset` at which so many whole `lines` of the file `inode` end."""

    inode: int
    lines: int
    offset: int


class Reader:
    """Reads event files that grow; safe to share between threads.

    Args:
        files: of how many it remembers where it stopped.
    """

    def __init__(self, files: int = 1024):
        self._files = files
        self._places: OrderedDict[Path, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path, after: int = 0) -> list[Event]:
        """The events from the `after`-th on; none when there is no file.

        Where an earlier call stopped at or before that event, no byte in front of it is read again.
        """
        after = max(0, after)
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                start = self._start(path, after, status)
                file.seek(start.offset)
                skipped = list(itertools.islice(file, after - start.lines))
                lines = list(file)
        except OSError:
            return []
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if len(skipped) == after - start.lines and (not skipped or skipped[-1].endswith(b"\n")):
            read = sum(map(len, skipped)) + sum(map(len, lines))
            self._stopped(path, _Place(status.st_ino, after + len(lines), start.offset + read))
        return [_parsed(line) for line in lines]

    def _start(self, path: Path, after: int, status: os.stat_result) -> _Place:
        with self._lock:
            place = self._places.get(path)
        fits = place is not None and place.inode == status.st_ino
        if place is not None and fits and place.lines <= after and place.offset <= status.st_size:
            return place
        return _Place(status.st_ino, 0, 0)

    def _stopped(self, path: Path, place: _Place) -> None:
        with self._lock:
            self._places[path] = place
            self._places.move_to_end(path)
            while len(self._places) > self._files:
                self._places.popitem(last=False)


def read(path: Path, after: int = 0) -> list[Event]:
    """The events from the `after`-th on, read from the first byte; none when there is no file."""
    return Reader().read(path, after)


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
