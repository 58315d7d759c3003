"""The library of finished Reports: one JSON file each, written once, never evicted.

Runs that came in a bundle are listed and read like one's own (`qcore.report.imported`); only what
was measured here counts as finished here (`owns`).

Whatever lies in the folder, one file costs no other: what is not a Report that this version reads
is refused with a sentence (`CorruptEntry`) when it is asked for, and left out of lists. A folder
that cannot be written serves what it holds.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe, QuantscopeError
from qcore.report.files import read_bytes
from qcore.report.imported import Imports
from qcore.report.report import Report

LIMIT_BYTES = 32 << 20
"""No Report is larger: one of 1,000 layers with dMX's whole training has less than 4 MB."""

PART_SECONDS = 3600
"""Writing takes milliseconds: a part this old whose process is gone is nobody's."""

_ID = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(r"[0-9a-f]{16}\.json")
_PART = re.compile(r"[0-9a-f]{16}\.(\d{1,10})\.\d{1,20}\.part")
_NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM)
_KEPT_IN_MEMORY = 256


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a rewritten file from the one that was read: size (bytes) and times (ns)."""

    size: int
    modified: int
    changed: int


class Library:
    """Reports under `root`, by id."""

    def __init__(self, root: Path):
        self.root = root
        self.imports = Imports(root)
        self._folder = root / "reports"
        self._swept = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            if error.errno not in _NO_WRITING:  # whoever cannot write may still read
                raise _cannot_write(self._folder, "the folder of reports", error) from error

    def add(self, report: Report) -> Report:
        """Keep a Report. The first one of an id stays: an exact repeat returns the same bytes.

        That holds for any number of processes: a report appears whole under its name, by a link,
        which fails where another one stands already.

        Raises:
            DiskFull: it could not be written; nothing half-written is left.
        """
        path = self.path(report.id)
        if self.owns(report.id):
            return self.get(report.id)
        part = self._folder / f"{report.id}.{os.getpid()}.{threading.get_ident()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("w", encoding="utf-8") as file:
                file.write(report.to_json())
                file.flush()
                os.fsync(file.fileno())
            _appear(part, path)
        except FileExistsError:
            return self.get(report.id)
        except OSError as error:
            raise _cannot_write(self._folder, "the report", error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        if not self._swept:
            self.sweep()
        return report

    def get(self, report: str) -> Report:
        """The Report of that id, or of the only id that starts so; the newest stay in memory.

        Raises:
            InvalidRecipe: no such Report, or several.
            CorruptEntry: the file is not a Report that this version reads.
        """
        path = self._where(self.complete(report))
        try:
            return _kept(path, _mark(os.lstat(path)))
        except FileNotFoundError as error:
            raise _not_one(0, report) from error
        except OSError as error:
            raise _no_report(path, error.strerror or str(error)) from error

    def read(self, report: str) -> Report:
        """The Report of exactly that id, from its file, kept nowhere.

        Raises:
            FileNotFoundError: there is none.
            CorruptEntry: the file is not a Report that this version reads.
        """
        return _read(self._where(report))

    def complete(self, report: str) -> str:
        """The only id that starts so; opens no file.

        Raises:
            InvalidRecipe: no id starts so, or several do.
        """
        if not re.fullmatch(r"[0-9a-f]{4,16}", report):
            raise InvalidRecipe(
                f"{report[:40]!r} is no report id", remedy="give 4 to 16 hexadecimal digits"
            )
        if _ID.fullmatch(report):
            return report
        found = [name for name in self.ids() if name.startswith(report)]
        if len(found) != 1:
            raise _not_one(len(found), report)
        return found[0]

    def has(self, report: str) -> bool:
        """Whether something is kept under exactly that id, measured here or elsewhere."""
        return self.owns(report) or report in self.imports.places()

    def owns(self, report: str) -> bool:
        """Whether something that was measured here is kept under exactly that id."""
        return os.path.lexists(self.path(report))

    def sources(self) -> dict[str, str]:
        """What the bundles are called that brought runs which were not measured here, by run."""
        return {
            run: origin.name
            for run in self.imports.places()
            if not self.owns(run) and (origin := self.imports.origin(run)) is not None
        }

    def ids(self) -> list[str]:
        """The ids of all Reports, readable or not, in no order; opens no file."""
        return list(self.marks(stamps=False))

    def marks(self, *, stamps: bool = True) -> dict[str, Mark]:
        """All files that have a Report's name, by id, in no order; opens none.

        Args:
            stamps: ask for sizes and times, too; otherwise all are 0.

        Raises:
            CorruptEntry: the folder cannot be listed.
        """
        found = self._imported_marks(stamps=stamps)
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if not _FILE.fullmatch(entry.name):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # gone since
                        status = entry.stat(follow_symlinks=False) if stamps else None
                        mark = _mark(status) if status else Mark(0, 0, 0)
                        found[entry.name.removesuffix(".json")] = mark
        except FileNotFoundError:
            return found
        except OSError as error:
            raise CorruptEntry(
                f"the folder of reports {self._folder} cannot be read: {error.strerror}",
                remedy="make it readable, or set QUANTSCOPE_HOME to another folder",
            ) from error
        return found

    def stamp(self) -> int:
        """A number that changes when a Report comes or goes; costs a look at two folders."""
        try:
            own = self._folder.stat().st_mtime_ns
        except OSError:
            own = 0
        return max(own, self.imports.stamp())  # whichever changes is the newer one

    def reports(self) -> list[Report]:
        """All readable Reports, newest first, each read anew; see `Index` for less of each."""
        found = []
        for name in self.ids():
            with contextlib.suppress(QuantscopeError, FileNotFoundError):
                found.append(self.read(name))
        return sorted(found, key=lambda report: report.created, reverse=True)

    def remove(self, report: str) -> None:
        """Forget a Report."""
        self.path(report).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers have left: parts an hour old, whose process is gone."""
        self._swept = True
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                named = _PART.fullmatch(entry.name)
                if named is None or _alive(int(named[1])):
                    continue
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    old = time.time() - status.st_mtime > PART_SECONDS
                    if old and stat.S_ISREG(status.st_mode):
                        os.unlink(entry.path)

    def path(self, report: str) -> Path:
        """Where the own Report of exactly that id is kept. Raises InvalidRecipe for no id."""
        if not _ID.fullmatch(report):
            raise InvalidRecipe(f"{report[:40]!r} is no report id", remedy="copy it again")
        return self._folder / f"{report}.json"

    def _where(self, report: str) -> Path:
        """Where a Report is read: one's own before one from elsewhere."""
        own = self.path(report)
        return own if os.path.lexists(own) else self.imports.places().get(report, own)

    def _imported_marks(self, *, stamps: bool) -> dict[str, Mark]:
        found = {}
        for run, path in self.imports.places().items():
            with contextlib.suppress(OSError):
                found[run] = _mark(os.lstat(path)) if stamps else Mark(0, 0, 0)
        return found


def _mark(status: os.stat_result) -> Mark:
    return Mark(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _not_one(count: int, start: str) -> InvalidRecipe:
    return InvalidRecipe(
        f"{count} reports start with {start}",
        remedy="give more digits" if count else "see their ids on the Pareto page",
    )


def _cannot_write(folder: Path, what: str, error: OSError) -> DiskFull:
    denied = error.errno in _NO_WRITING
    made = f"{what} {folder} cannot be made" if "folder" in what else f"{what} cannot be written"
    return DiskFull(
        f"{made}: {error.strerror}",
        remedy=f"make {folder} writable, or set QUANTSCOPE_HOME to another folder"
        if denied
        else "free some disk space, or set QUANTSCOPE_HOME to another disk",
    )


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _appear(part: Path, path: Path) -> None:
    """Give `part` the name `path` unless there is one. Raises FileExistsError where there is."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(part, path)  # on such a file system the last of two at once stays


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say."""


@functools.lru_cache(maxsize=_KEPT_IN_MEMORY)
def _kept(path: Path, mark: Mark) -> Report:
    """The parsed file; `mark` makes a rewritten file a new key."""
    return _read(path)


def _read(path: Path) -> Report:
    """The parsed file, whatever it is: a Report, or a CorruptEntry that says why not."""
    content = read_bytes(path, LIMIT_BYTES)
    try:
        report = Report.from_json(content.decode())
    except CorruptEntry as error:
        raise CorruptEntry(f"{path.name}: {error.fact}", remedy=error.remedy) from error
    except QuantscopeError as error:
        raise _no_report(path, error.fact) from error
    except UnicodeDecodeError as error:
        raise _no_report(path, "it is not UTF-8 text") from error
    except Exception as error:  # whatever a file can cause must stay with that file
        raise _no_report(path, f"{type(error).__name__}: {error}") from error
    if report.id != path.stem:
        raise _no_report(path, f"it holds the report {report.id[:16]!a}")
    return report


def _no_report(path: Path, why: str) -> CorruptEntry:
    return CorruptEntry(
        f"report file {path.name} cannot be read: {why[:300]}",
        remedy="delete it and run the recipe again",
    )
