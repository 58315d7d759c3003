"""What a running recipe says about itself, one line of JSON at a time.

The worker appends Events to a file; progress bars, logs and the history page all read that file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cache.digest import canonical_json
from qcore.serialization import from_plain, parse_json, to_plain

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, message) from inside a long step; total 0 means unknown."""

Emit = Callable[["Event"], None]


def silent(done: int, total: int, message: str = "") -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a job.

    Attributes:
        stage: load, capture, transform, assign, quantize, evaluate; or `job` for its life cycle.
        done: units finished in this stage.
        total: units in this stage; 0 when unknown.
        message: a short sentence, or empty.
        kind: `progress`; `stage` when a stage begins (done 0) or ends (done = total);
            `warning`; `error`; `state` when the job itself changes state.
        cached: the stage's outcome came from the cache.
        job: the job's id; empty when run without a queue.
        time: seconds since the epoch.
    """

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""
    kind: str = "progress"
    cached: bool = False
    job: str = ""
    time: float = field(default_factory=time.time)

    def to_json(self) -> str:
        """The event as one line of JSON, without a line break."""
        return canonical_json(to_plain(self))

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The event on that line. Raises InvalidRecipe when it is none."""
        return from_plain(cls, parse_json(line), "event")
