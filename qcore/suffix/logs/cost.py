"""What reading a log takes, told from a look at its beginning: events, memory, seconds.

The rows of a CSV file, or the <event> tags of an XES file, are counted in the first part of the
text; the rest is taken to be like it. The memory is what reading needs at its height, not what the
log keeps (`qcore.suffix.logs.event_log`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qcore.suffix.logs.columns import first_text, is_gzip
from qcore.suffix.logs.xes import first_bytes, is_xes

LARGE = 200_000
"""Events from which on people are told what reading takes before it begins."""

CSV_BYTES, CSV_SPEED = 320, 500_000
"""Memory of an event beside the text, and events a second. Measured on a simulated log of 10⁶
events with 3 columns: 350 bytes an event with its 39 of text, 1.85 CPU seconds."""
XES_BYTES, XES_SPEED = 180, 65_000
"""Likewise, with 4 attributes and 233 bytes an event: 170 bytes, 15.0 CPU seconds. The text is
streamed and takes no memory."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading a log is expected to take, from a look at its beginning."""

    events: int
    memory: int
    seconds: float


def reading_cost(path: Path) -> Cost:
    """Events, bytes of memory and seconds.

    Raises:
        DataError: the file cannot be read, or is not text.
    """
    if is_xes(path):
        head = first_bytes(path)
        events = _unpacked(path) * head.count(b"<event") // max(1, len(head))
        return Cost(events, events * XES_BYTES, events / XES_SPEED)
    lines = first_text(path).splitlines()
    width = max(1.0, len("\n".join(lines[1:])) / max(1, len(lines) - 1) + 1)
    size = _unpacked(path)
    events = int(size / width)
    return Cost(events, events * CSV_BYTES + size, events / CSV_SPEED)


def _unpacked(path: Path) -> int:
    """Bytes of text."""
    size = packed = path.stat().st_size
    if is_gzip(path):
        # The last four bytes of a gzip file are its content's length modulo 4 GiB.
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
        while size < packed // 2:  # text grows smaller when it is packed
            size += _WRAP
    return size
