"""The library of finished Reports: one JSON file each, written once, never evicted."""

from __future__ import annotations

import errno
import functools
import os
import re
import threading
from pathlib import Path

from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe, QuantscopeError
from qcore.report.report import Report

_ID = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(r"[0-9a-f]{16}\.json")


class Library:
    """Reports under `root`, by id."""

    def __init__(self, root: Path):
        self._folder = root / "reports"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DiskFull(
                f"the folder of reports {self._folder} cannot be made: {error.strerror}",
                remedy="free some disk space, or set QUANTSCOPE_HOME to another disk",
            ) from error

    def add(self, report: Report) -> Report:
        """Keep a Report. The first one of an id stays: an exact repeat returns the same bytes.

        That holds for any number of processes: a report appears whole under its name, by a link,
        which fails where another one stands already.

        Raises:
            DiskFull: it could not be written; nothing half-written is left.
        """
        path = self._path(report.id)
        if path.exists():
            return self.get(report.id)
        part = self._folder / f"{report.id}.{os.getpid()}.{threading.get_ident()}.part"
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(report.to_json())
                file.flush()
                os.fsync(file.fileno())
            _appear(part, path)
        except FileExistsError:
            return self.get(report.id)
        except OSError as error:
            raise DiskFull(
                f"the report could not be written: {error.strerror}", remedy="free some disk space"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return report

    def get(self, report: str) -> Report:
        """The Report of that id, or of the only id that starts so.

        Raises:
            InvalidRecipe: no such Report, or several.
            CorruptEntry: the file is not a Report that this version reads.
        """
        if not re.fullmatch(r"[0-9a-f]{4,16}", report):
            raise InvalidRecipe(
                f"{report[:40]!r} is no report id", remedy="give 4 to 16 hexadecimal digits"
            )
        found = sorted(self._folder.glob(f"{report}*.json"))
        if len(found) != 1:
            raise InvalidRecipe(
                f"{len(found)} reports start with {report}",
                remedy="see their ids on the Pareto page" if not found else "give more digits",
            )
        return _read(found[0], found[0].stat().st_mtime_ns)

    def has(self, report: str) -> bool:
        """Whether a Report of exactly that id is kept."""
        return self._path(report).exists()

    def ids(self) -> list[str]:
        """The ids of all Reports, readable or not, in no order; opens no file."""
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries]
        return [name.removesuffix(".json") for name in names if _FILE.fullmatch(name)]

    def stamp(self) -> int:
        """A number that changes when a Report comes or goes; costs one look at the folder."""
        return self._folder.stat().st_mtime_ns

    def reports(self) -> list[Report]:
        """All readable Reports, newest first; unreadable files are left alone and left out."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                found.append(_read(path, path.stat().st_mtime_ns))
            except (QuantscopeError, FileNotFoundError):
                continue
        return sorted(found, key=lambda report: report.created, reverse=True)

    def remove(self, report: str) -> None:
        """Forget a Report."""
        self._path(report).unlink(missing_ok=True)

    def _path(self, report: str) -> Path:
        if not _ID.fullmatch(report):
            raise InvalidRecipe(f"{report[:40]!r} is no report id", remedy="copy it again")
        return self._folder / f"{report}.json"


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


@functools.lru_cache(maxsize=4096)
def _read(path: Path, modified_ns: int) -> Report:
    """The parsed file; `modified_ns` makes a rewritten file a new key."""
    try:
        return Report.from_json(path.read_text(encoding="utf-8"))
    except (InvalidRecipe, UnicodeDecodeError) as error:
        raise CorruptEntry(
            f"report file {path.name} cannot be read: {error}",
            remedy="delete it and run the recipe again",
        ) from error
