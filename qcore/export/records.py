"""What was exported of which run, how far it is, and what its readers said.

One small JSON file for each run and layout, replaced whole: `exports/REPORT.LAYOUT.json` in the
home folder, written by whoever exports (the command line, or the process that the page starts) and
read by everybody. A file beside it is locked as long as that process lives, so an export that was
killed is told from one that is moving.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qcore.errors import ExportError, QuantscopeError
from qcore.export.verdict import Verdict
from qcore.progress import Emit, Event
from qcore.report.files import require_regular

State = Literal["running", "done", "failed", "stopped"]

_SECONDS = 0.3
"""Between two writings of progress."""

_MOST_BYTES = 100_000
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Export:
    """One export of one run.

    Attributes:
        report: the run's id.
        layout: `compressed-tensors` or `gguf`.
        path: the folder.
        state: `stopped` where its process ended without a word.
        stage: what it does: a stage of the run that is computed again, or `export`.
        done: units finished in the stage.
        total: units of the stage; 0 where that is not known.
        message: a short sentence, or empty.
        error: why it failed.
        bytes: on disk, once it is done.
        promised: of the whole network, by the Report.
        verdicts: what its readers said.
        time: of the last word, seconds since the epoch.
    """

    report: str
    layout: str
    path: str
    state: State = "running"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    error: str = ""
    bytes: int = 0
    promised: int = 0
    verdicts: tuple[Verdict, ...] = ()
    time: float = 0.0


class Exports:
    """The exports of the runs under `root`; any number of processes may share them."""

    def __init__(self, root: Path):
        self._folder = root / "exports"

    def of(self, report: str) -> list[Export]:
        """What is known of a run's exports, the newest first; broken files are left out."""
        if not _ID.fullmatch(report):
            return []
        found = [self._read(path) for path in self._folder.glob(f"{report}.*.json")]
        return sorted((one for one in found if one is not None), key=lambda one: -one.time)

    @contextmanager
    def recording(self, report: str, layout: str, path: Path) -> Iterator[ExportLog]:
        """Lend out what an export tells its progress to; how it ends is kept, too.

        Raises:
            ExportError: the same run is being exported to this layout elsewhere.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock(report, layout).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ExportError(
                    f"run {report} is being exported to {layout} already",
                    remedy="wait until it is done",
                ) from error
            recorder = ExportLog(self._file(report, layout), Export(report, layout, str(path)))
            try:
                yield recorder
            except QuantscopeError as error:
                recorder.keep(state="failed", error=str(error))
                raise
            except BaseException:
                recorder.keep(state="stopped")
                raise

    def _file(self, report: str, layout: str) -> Path:
        return self._folder / f"{report}.{layout}.json"

    def _lock(self, report: str, layout: str) -> Path:
        return self._folder / f"{report}.{layout}.lock"

    def _read(self, path: Path) -> Export | None:
        try:
            require_regular(path.name, path.lstat())
            with path.open(encoding="utf-8") as file:
                data = json.loads(file.read(_MOST_BYTES))
            verdicts = tuple(Verdict(**verdict) for verdict in data.pop("verdicts"))
            found = Export(**data, verdicts=verdicts)
        except (OSError, ValueError, TypeError, KeyError, QuantscopeError):
            return None
        if found.state == "running" and not self._is_held(found):
            return replace(found, state="stopped")
        return found

    def _is_held(self, one: Export) -> bool:
        with contextlib.suppress(OSError), self._lock(one.report, one.layout).open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


class ExportLog:
    """Keeps how far one export is."""

    def __init__(self, path: Path, export: Export):
        self._path = path
        self._export = export
        self._kept = 0.0
        self.keep()

    def heard(self, event: Event) -> None:
        """Keep an event, unless another was kept a moment ago."""
        if event.kind == "stage" or time.monotonic() - self._kept >= _SECONDS:
            self.keep(stage=event.stage, done=event.done, total=event.total, message=event.message)

    def done(self, verdicts: list[Verdict], size: int, promised: int) -> None:
        """Keep what the readers said."""
        self.keep(state="done", verdicts=tuple(verdicts), bytes=size, promised=promised)

    def keep(self, **values: Any) -> None:
        """Keep these values beside the others. A full disk costs the record, not the export."""
        self._export = replace(self._export, **values, time=time.time())
        self._kept = time.monotonic()
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(self._export), file)
            os.replace(name, self._path)


def both(first: Emit, second: Emit) -> Emit:
    """Tell two listeners."""

    def emit(event: Event) -> None:
        first(event)
        second(event)

    return emit
