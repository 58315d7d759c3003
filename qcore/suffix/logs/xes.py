"""XES logs (IEEE 1849), plain or gzip, streamed: a trace is dropped once it is read.

Only three attributes are looked at: a trace's `concept:name`, an event's `concept:name` and
`time:timestamp`; with a lifecycle, only completed events count if the log has any. Declared
entities are refused before they can expand ("billion laughs"), and nothing outside the file is
ever fetched. A file that unpacks to more than `MOST_BYTES` is refused where it passes them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Never, cast
from xml.parsers import expat

import numpy as np

from qcore.errors import DataError
from qcore.suffix.logs.event_log import EventLog, event_log

BLOCK = 1 << 20
MOST_BYTES = 8 << 30
"""Of text, unpacked: a small gzip file can hold any amount of it."""
DEEPEST = 100


@dataclass(slots=True)
class _Reader:
    """Collects events as expat meets them."""

    path: Path
    cases: list[str] = field(default_factory=list)
    activities: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lifecycle: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    traces: int = 0
    trace: dict[str, str] = field(default_factory=dict)
    event: dict[str, str] = field(default_factory=dict)
    pending: int = 0
    words: dict[str, str] = field(default_factory=dict)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition("}")[2].rpartition(":")[2]
        parent = self.stack[-1] if self.stack else ""
        if not self.stack and tag != "log":
            self._refuse(f"begins with <{tag[:30]}>, not <log>")
        self.stack.append(tag)
        if len(self.stack) > DEEPEST:
            self._refuse(f"is nested deeper than {DEEPEST} levels")
        if tag == "trace":
            self.trace, self.pending = {}, len(self.activities)
        elif tag == "event":
            self.event = {}
        elif "key" in attributes and parent in ("trace", "event"):
            owner = self.trace if parent == "trace" else self.event
            owner[attributes["key"]] = attributes.get("value", "")

    def end(self, tag: str) -> None:
        tag = self.stack.pop()
        if tag == "event" and self.stack and self.stack[-1] == "trace":
            self._event()
        elif tag == "trace":
            self.traces += 1
            name = self.trace.get("concept:name") or f"trace {self.traces}"
            self.cases += [name] * (len(self.activities) - self.pending)

    def entity(self, name: str, *_: object) -> Never:
        self._refuse(f"declares the entity {str(name)[:40]!r}")

    def _event(self) -> None:
        number = len(self.activities) + 1
        activity = self.event.get("concept:name", "").strip()
        if not activity:
            self._refuse(f"has no concept:name at event {number}")
        time = self.event.get("time:timestamp")
        if time is None:
            self._refuse(f"has no time:timestamp at event {number}")
        self.seconds.append(self._time(time, number))
        step = self.event.get("lifecycle:transition", "").lower()
        # The same few words come with every event: they are kept once.
        self.activities.append(self.words.setdefault(activity, activity))
        self.lifecycle.append(self.words.setdefault(step, step))

    def _time(self, value: str, number: int) -> float:
        try:
            when = datetime.fromisoformat(value.strip())
        except ValueError:
            self._refuse(f"has the time {value[:40]!r} at event {number}")
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return when.timestamp()

    def _refuse(self, what: str) -> Never:
        raise DataError(
            f"{self.path.name} {what}",
            remedy="export the log again as plain XES, or as CSV with case, activity and time",
        )


def is_xes(path: Path) -> bool:
    """Whether a file is one by its name."""
    return path.name.lower().removesuffix(".gz").endswith((".xes", ".xml"))


def first_bytes(path: Path) -> bytes:
    """The first MiB of text, unpacked; empty of an empty file. Raises DataError as `read_xes`."""
    return next(_blocks(path), b"")


def read_xes(path: Path) -> EventLog:
    """A log from an XES or XES.GZ file.

    Raises:
        DataError: unreadable, too large, not XML, not XES, with declared entities, or with an
            event that has no activity or time.
    """
    reader = _Reader(path)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = reader.entity
    parser.ExternalEntityRefHandler = lambda *_: 0
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        for block in _blocks(path):
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path.name} is not XML: {expat.errors.messages[error.code]} in line {error.lineno}",
            remedy="check that the file is whole",
        ) from error
    return _complete(reader)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            size = 0
            while block := file.read(BLOCK):
                size += len(block)
                if size > MOST_BYTES:
                    raise DataError(
                        f"{path.name} holds more than {MOST_BYTES >> 20:,} MiB of text",
                        remedy="give a part of the log, or a CSV with case, activity and time",
                    )
                yield block
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{path.name} cannot be read: {what}", remedy="name a readable XES file, plain or gzip"
        ) from error


def _complete(reader: _Reader) -> EventLog:
    """The log; starts, schedules and the like are left out where completions are recorded."""
    cases = np.array(reader.cases, dtype=object)
    activities = np.array(reader.activities, dtype=object)
    seconds = np.array(reader.seconds)
    complete = np.array([step == "complete" for step in reader.lifecycle], dtype=bool)
    notes = []
    if complete.any() and not complete.all():
        notes.append(
            f"{int((~complete).sum())} of {len(complete)} events are not completions, and were "
            "left out"
        )
        cases, activities, seconds = cases[complete], activities[complete], seconds[complete]
    return event_log(cases, activities, seconds, notes)
