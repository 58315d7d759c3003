"""The event file: what was told before stays, and what is told after is heard."""

from __future__ import annotations

from pathlib import Path

from qcore.jobs import events
from qcore.progress import Event

SAID = [Event("load", index, 8, f"é {index}", time=float(index)) for index in range(8)]


def prepare(root: Path) -> None:
    """The first line is there."""
    events.append(root / "events.jsonl", SAID[0])


def act(root: Path) -> None:
    """Tell the others, from the one on that is missing."""
    heard = [event for event in events.read(root / "events.jsonl") if event.kind == "progress"]
    for event in SAID[len(heard) :]:
        assert events.append(root / "events.jsonl", event)


def check(root: Path) -> None:
    """A beginning of what was told, without a gap and without a torn line."""
    heard = events.read(root / "events.jsonl")
    assert heard == SAID[: len(heard)]


def finished(root: Path) -> None:
    """All, in order, with at most one line that nobody can read."""
    heard = events.read(root / "events.jsonl")
    assert [event for event in heard if event.kind == "progress"] == SAID
    assert len(heard) <= len(SAID) + 1
