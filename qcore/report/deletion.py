"""Runs that were deleted and may still come back.

Deleting a Report moves its file beside the library, in one step that any process may take; undoing
it moves the file back. What nobody brought back is removed when whoever deleted it says so, or a
day later. The cache keeps the run's stages, so running its recipe again costs only what was evicted
meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from qcore.errors import DiskFull, InvalidRecipe
from qcore.report.labels import Labels
from qcore.report.library import Library

KEPT_SECONDS = 24 * 3600.0
"""How long a deleted run can come back when nobody says that it shall not."""

_FILE = re.compile(r"[0-9a-f]{16}\.json")


class Deletion:
    """Deletes Reports of a library, with undo.

    Args:
        library: of finished Reports.
        labels: what is said of them; forgotten with a run, and not before.
    """

    def __init__(self, library: Library, labels: Labels):
        self._library = library
        self._labels = labels
        self._folder = library.root / "deleted"

    def delete(self, runs: Iterable[str]) -> list[str]:
        """Set Reports aside; returns the ids of those that were there.

        Raises:
            InvalidRecipe: no report's id; those before it are set aside. Or one that came with a
                bundle, which goes as a whole; then none is.
            DiskFull: the home cannot be written.
        """
        runs = list(runs)
        self._require_own(runs)
        self.sweep()
        return [run for run in runs if self._move(run, back=False)]

    def restore(self, runs: Iterable[str]) -> list[str]:
        """Bring deleted Reports back; returns the ids of those that came. Raises as `delete`."""
        return [run for run in runs if self._move(run, back=True)]

    def finish(self, runs: Iterable[str]) -> None:
        """Remove deleted Reports for good, with what was said of them."""
        gone = []
        for run in runs:
            with contextlib.suppress(OSError):
                self._aside(run).unlink()
                gone.append(run)
        self._forget(gone)

    def sweep(self) -> None:
        """Remove for good what was deleted a day ago."""
        old = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if not _FILE.fullmatch(entry.name):
                    continue
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > KEPT_SECONDS:
                    old.append(entry.name.removesuffix(".json"))
        self.finish(old)

    def _require_own(self, runs: list[str]) -> None:
        for run in runs:
            origin = self._library.imports.origin(run)
            if origin is not None and not self._library.owns(run):
                raise InvalidRecipe(
                    f"run {run} came with the bundle {origin.name[:80]!a}, which goes as a whole",
                    remedy=f"archive the run, or remove all {len(origin.runs)} of the bundle with "
                    f"`python -m qcore import --remove {origin.bundle}`",
                )

    def _forget(self, gone: list[str]) -> None:
        """Forget what was said of runs, but for one that was run again meanwhile."""
        self._labels.forget([run for run in gone if not self._library.has(run)])

    def _move(self, run: str, *, back: bool) -> bool:
        aside, kept = self._aside(run), self._library.path(run)
        if back and self._library.owns(run):  # run again meanwhile: an exact repeat
            aside.unlink(missing_ok=True)
            return True
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            os.rename(*((aside, kept) if back else (kept, aside)))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DiskFull(
                f"run {run} cannot be {'brought back' if back else 'deleted'}: {error.strerror}",
                remedy=f"make {self._library.root} writable",
            ) from error
        if not back:
            with contextlib.suppress(OSError):  # brought back at once, by somebody else
                os.utime(aside, follow_symlinks=False)  # the day begins now
        return True

    def _aside(self, run: str) -> Path:
        if not _FILE.fullmatch(f"{run}.json"):
            raise InvalidRecipe(f"{run[:40]!r} is no report id", remedy="copy it again")
        return self._folder / f"{run}.json"
