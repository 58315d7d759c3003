"""Runs that came from elsewhere: each bundle's in a folder of its own, beside the library.

    imported/
    └── BUNDLE/             first 16 hexadecimal digits of the bundle's digest
        ├── origin.json     what it is called, where it came from, which runs it brought
        ├── reports/        their Reports
        ├── records.json    windows' texts, sensitivities, outlier maps, by their key in a cache
        └── arrays/         scores of tokens, a safetensors file per run

A folder appears by one rename and goes by one, so a bundle is here whole or not at all. A run that
was measured here stands before the same run from elsewhere: nobody's numbers replace one's own, and
running an imported recipe measures it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe, QuantscopeError
from qcore.report.files import read_bytes
from qcore.serialization import from_plain, parse_json

FOLDER = "imported"
ORIGIN, REPORTS, RECORDS, ARRAYS = "origin.json", "reports", "records.json", "arrays"

_BUNDLE = re.compile(r"[0-9a-f]{16}")
_REPORT = re.compile(r"([0-9a-f]{16})\.json")
_ORIGIN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Where runs came from.

    Attributes:
        bundle: the import's id.
        title: what whoever made the bundle called it; may be empty.
        file: the name of the file that was read, without folders.
        made: when the bundle was made, seconds since the epoch.
        imported: when it was read.
        runs: ids of the runs that it brought.
        example: whether it came with Quantscope, to be looked at.
    """

    bundle: str
    title: str
    file: str
    made: float
    imported: float
    runs: tuple[str, ...]
    example: bool = False

    @property
    def name(self) -> str:
        """What to call it: its title, else its file, else its id."""
        return self.title or self.file or self.bundle


class Imports:
    """The imported runs under `root`; any number of threads may share it."""

    def __init__(self, root: Path):
        self.folder = root / FOLDER
        self._lock = threading.Lock()
        self._read_at = -1
        self._places: dict[str, Path] = {}
        self._origins: dict[str, Origin] = {}

    def stamp(self) -> int:
        """A number that changes when a bundle comes or goes; costs one look at the folder."""
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0

    def places(self) -> Mapping[str, Path]:
        """Where the Report of every imported run lies, by id."""
        self._look()
        return self._places

    def origins(self) -> tuple[Origin, ...]:
        """All imports, the newest first."""
        self._look()
        return tuple(sorted(self._origins.values(), key=lambda origin: -origin.imported))

    def origin(self, run: str) -> Origin | None:
        """The import that an imported run is read from."""
        place = self.places().get(run)
        return None if place is None else self._origins.get(place.parent.parent.name)

    def remove(self, bundle: str) -> Origin:
        """Forget an import, its runs and all that came with them, in one step.

        Raises:
            InvalidRecipe: there is no such import.
            DiskFull: its folder cannot be moved.
        """
        self._look()
        found = [name for name in self._origins if bundle and name.startswith(bundle)]
        if len(found) != 1:
            raise InvalidRecipe(
                f"{len(found)} imports start with {bundle[:40]!a}",
                remedy="give the digits that `python -m qcore import --list` shows",
            )
        origin = self._origins[found[0]]
        aside = self.folder / f".{found[0]}.{secrets.token_hex(4)}.gone"
        try:
            os.rename(self.folder / found[0], aside)
        except OSError as error:
            raise DiskFull(
                f"import {found[0]} cannot be removed: {error.strerror}",
                remedy=f"make {self.folder} writable",
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
        with self._lock:
            self._read_at = -1
        return origin

    def _look(self) -> None:
        now = self.stamp()
        with self._lock:
            if now == self._read_at:
                return
            places: dict[str, Path] = {}
            origins: dict[str, Origin] = {}
            for folder in _folders(self.folder):
                with contextlib.suppress(QuantscopeError, OSError, UnicodeDecodeError):
                    origin = _origin(folder)
                    for name in os.listdir(folder / REPORTS):
                        if run := _REPORT.fullmatch(name):
                            places.setdefault(run[1], folder / REPORTS / name)
                    origins[folder.name] = origin
            self._places, self._origins, self._read_at = places, origins, now


def _folders(folder: Path) -> list[Path]:
    """The imports' folders, by name; links are no imports."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(
            folder / entry.name
            for entry in entries
            if _BUNDLE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        )
    return []


def _origin(folder: Path) -> Origin:
    """What is said of an import. Raises CorruptEntry, InvalidRecipe: it is not what was written."""
    origin = from_plain(
        Origin, parse_json(read_bytes(folder / ORIGIN, _ORIGIN_BYTES).decode()), "origin"
    )
    if origin.bundle != folder.name or not stat.S_ISDIR(os.lstat(folder / REPORTS).st_mode):
        raise CorruptEntry(f"{folder.name} is no import", remedy="move it away")
    return origin
