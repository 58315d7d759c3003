"""Progress of a run on standard error: a bar for each stage, or now and then a line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from qcore.progress import Event


class Bars:
    """One progress bar per stage on a terminal; one line per stage elsewhere.

    Args:
        prefix: in front of every line, such as "3/12 ".
        say: writes a line; by default to standard error.
    """

    def __init__(self, prefix: str = "", *, say: Callable[[str], None] | None = None):
        self._prefix = prefix
        self._say = say or (lambda text: print(text, file=sys.stderr))
        self._bar: Any = None
        self._stage = ""

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def show(self, event: Event) -> None:
        """Draw one event."""
        if event.kind == "warning":
            self._say(f"note: {event.message}")
        elif event.kind == "stage" and event.done and event.cached:
            self._close()
            self._say(f"{self._prefix}{event.stage}: cached")
        elif event.stage == "job":
            self._say(f"{self._prefix}{event.message}")
        elif event.kind == "progress":
            self._advance(event)

    def _advance(self, event: Event) -> None:
        from tqdm import tqdm

        if event.stage != self._stage or self._bar is None:
            self._close()
            self._stage = event.stage
            self._bar = tqdm(
                desc=self._prefix + event.stage,
                total=event.total or None,
                mininterval=0.2 if sys.stderr is not None and sys.stderr.isatty() else 30,
                file=_Lenient(),
            )
        self._bar.total = event.total or None
        self._bar.update(event.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class _Lenient:
    """Standard error, for a bar: where nobody can read it any more, the run goes on."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except (OSError, AttributeError):
            return

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (OSError, AttributeError):
            return

    def isatty(self) -> bool:
        return sys.stderr is not None and sys.stderr.isatty()

    def fileno(self) -> int:
        return sys.stderr.fileno()

    @property
    def encoding(self) -> str:
        return getattr(sys.stderr, "encoding", None) or "ascii"
