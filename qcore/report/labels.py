"""What people say of runs: names, tags, notes, pins, archives, baselines. Reports never change.

Labels lie in a small SQLite file beside the reports, shared by the dashboard and the command line.
Every change is one transaction that reads and writes, so of two processes that tag the same run
both tags stay. Text is bounded and stripped of what cannot be seen before it is kept: control
characters, and marks that turn the direction of what follows. Whatever else it contains is text,
and shown as such.

    labels = Labels(home())
    labels.change(["0123456789abcdef"], name="the one for the talk", add_tags=["talk"])
    labels.all()["0123456789abcdef"].tags     ('talk',)
    labels.stamp                              another value whenever anything has changed
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cache import database
from cache.database import Trouble, trouble
from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe
from qcore.report.files import require_regular

FILE = "labels.sqlite"
VERSION = 1

LONGEST_NAME, LONGEST_TAG, LONGEST_NOTE = 100, 40, 4000
"""Characters."""
MOST_TAGS = 20
"""Of one run."""

_BUSY_SECONDS = 10.0
_ID = re.compile(r"[0-9a-f]{16}")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Controls but for tab and line break, marks of direction, blanks without width, half signs."""

_TABLES = """
CREATE TABLE IF NOT EXISTS label (
    run TEXT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',      -- JSON
    pinned INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    baseline REAL NOT NULL DEFAULT 0      -- since when, seconds since the epoch; 0: it is none
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS choice (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Label:
    """What is said of one run.

    Attributes:
        name: stands in the place of its title; empty without one.
        note: free text, line breaks kept.
        tags: in the order of the alphabet.
        pinned: kept on top of tables.
        archived: left out of tables and figures unless asked for.
        baseline: since when others are held against it, seconds since the epoch; 0 if not.
    """

    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    baseline: float = 0.0


NOTHING = Label()


class Labels:
    """The labels of the runs under `root`; any number of threads and processes may share them."""

    def __init__(self, root: Path):
        self._path = root / FILE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._changes = 0
        self._read_at: tuple[int, ...] | None = None
        self._labels: dict[str, Label] = {}

    def all(self) -> Mapping[str, Label]:
        """Every run's label, by id; runs of which nothing is said are absent.

        Raises:
            CorruptEntry: the file is not one of labels, or a newer version wrote it.
        """
        with self._lock, _translated(self._path):
            now = self._stamp()
            if now != self._read_at:
                connection = self._open()
                rows = connection.execute("SELECT * FROM label").fetchall() if connection else []
                self._labels = {row["run"]: _label(row) for row in rows if _is_id(row["run"])}
                self._read_at = now
            return self._labels

    def of(self, run: str) -> Label:
        """What is said of one run. Raises CorruptEntry as `all`."""
        return self.all().get(run, NOTHING)

    @property
    def stamp(self) -> tuple[int, ...]:
        """Another value whenever a label has changed, here or in another process; cheap."""
        with self._lock:
            try:
                return self._stamp()
            except (*database.ERRORS, OSError, CorruptEntry):
                return (-1,)

    def change(
        self,
        runs: Iterable[str],
        *,
        name: str | None = None,
        note: str | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        pinned: bool | None = None,
        archived: bool | None = None,
        baseline: bool | None = None,
    ) -> None:
        """Say something of runs; what is left out stays as it was, an empty text takes it back.

        Raises:
            InvalidRecipe: no run's id, or a text that is too long; says by how much.
            DiskFull: it cannot be written.
            CorruptEntry: as `all`.
        """
        texts: dict[str, Any] = {}
        if name is not None:
            texts["name"] = one_line(name, "a name", LONGEST_NAME)
        if note is not None:
            texts["note"] = _bounded(note, "a note", LONGEST_NOTE).strip()
        added = {one_line(tag, "a tag", LONGEST_TAG) for tag in add_tags} - {""}
        removed = {one_line(tag, "a tag", LONGEST_TAG) for tag in remove_tags}
        flags = {"pinned": pinned, "archived": archived}
        texts |= {key: value for key, value in flags.items() if value is not None}
        if baseline is not None:
            texts["baseline"] = time.time() if baseline else 0.0
        with self._writing() as connection:
            for run in runs:
                if not _is_id(run):
                    raise InvalidRecipe(f"{run[:40]!r} is no report id", remedy="copy it again")
                found = connection.execute("SELECT * FROM label WHERE run = ?", (run,)).fetchone()
                label = _label(found) if found else NOTHING
                tags = tuple(sorted((set(label.tags) | added) - removed))
                if len(tags) > MOST_TAGS:
                    raise InvalidRecipe(
                        f"run {run} would have {len(tags)} tags, more than {MOST_TAGS}",
                        remedy="remove some",
                    )
                _write(connection, run, replace(label, tags=tags, **texts))

    def forget(self, runs: Iterable[str]) -> None:
        """Drop everything said of runs. Raises DiskFull, CorruptEntry as `change`."""
        if not self._path.exists():
            return
        with self._writing() as connection:
            connection.executemany("DELETE FROM label WHERE run = ?", [(run,) for run in runs])

    def baselines(self, runs: Sequence[str]) -> list[str]:
        """Those of these runs that are pinned as baselines, the newest such pin first."""
        labels = self.all()
        held = [run for run in runs if run in labels and labels[run].baseline]
        return sorted(held, key=lambda run: -labels[run].baseline)

    def choice(self, name: str) -> Any:
        """What was last kept under a name, such as a table's columns; None without it."""
        with self._lock, _translated(self._path):
            connection = self._open()
            if connection is None:
                return None
            row = connection.execute("SELECT value FROM choice WHERE name = ?", (name,)).fetchone()
            with contextlib.suppress(ValueError, TypeError):
                return json.loads(row["value"]) if row else None
            return None

    def choose(self, name: str, value: Any) -> None:
        """Keep a choice of the user's, as JSON. Raises DiskFull, CorruptEntry as `change`."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO choice VALUES (?, ?)", (name, json.dumps(value))
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which stands whole or not at all."""
        with self._lock, _translated(self._path):
            connection = self._open(make=True)
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._changes += 1

    def _open(self, *, make: bool = False) -> sqlite3.Connection | None:
        """The connection; None where there is no file and none is to be made."""
        inode = self._there()
        if self._connection is not None and inode != self._inode:  # taken away, or replaced
            self._connection.close()
            self._connection = None
        if self._connection is None and (inode or make):
            self._connection = _connect(self._path, make=make)
            self._inode = self._there()
        return self._connection

    def _there(self) -> int:
        """The file's inode; 0 where there is none. Raises CorruptEntry where it is no file."""
        try:
            return require_regular(FILE, os.lstat(self._path)).st_ino
        except FileNotFoundError:
            return 0

    def _stamp(self) -> tuple[int, ...]:
        connection = self._open()
        seen = connection.execute("PRAGMA data_version").fetchone()[0] if connection else 0
        return (self._inode if connection else 0, seen, self._changes)


def one_line(text: str, what: str, longest: int) -> str:
    """Text on one line, without what cannot be seen. Raises InvalidRecipe where it is too long."""
    return " ".join(_bounded(text, what, longest).split())


def _bounded(text: str, what: str, longest: int) -> str:
    clean = _UNSEEN.sub("", text.replace("\r\n", "\n"))
    if len(clean) > longest:
        raise InvalidRecipe(
            f"{what} of {len(clean):,} characters is longer than {longest:,}",
            remedy=f"shorten it by {len(clean) - longest:,}",
        )
    return clean


def _connect(path: Path, *, make: bool) -> sqlite3.Connection:
    mode = "rwc" if make else "rw" if os.access(path, os.W_OK) else "ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = database.text
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise CorruptEntry(
                f"{FILE} is of version {version}, newer than {VERSION}",
                remedy="update Quantscope, or move the file away to start without labels",
            )
        if version < VERSION and mode != "ro":
            with contextlib.suppress(OSError):
                os.chmod(path, 0o600)
            script = f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            connection.executescript(script)
    except BaseException:
        connection.close()
        raise
    return connection


def _write(connection: sqlite3.Connection, run: str, label: Label) -> None:
    if label == NOTHING:
        connection.execute("DELETE FROM label WHERE run = ?", (run,))
        return
    connection.execute(
        "INSERT OR REPLACE INTO label (run, name, note, tags, pinned, archived, baseline)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            run,
            label.name,
            label.note,
            json.dumps(label.tags),
            int(label.pinned),
            int(label.archived),
            label.baseline,
        ),
    )


def _label(row: sqlite3.Row) -> Label:
    """A row as it may have been written by anybody: bounded again, nothing taken on trust."""
    try:
        tags = json.loads(row["tags"])
    except (ValueError, TypeError):
        tags = []
    named = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    since = row["baseline"]
    return Label(
        name=" ".join(_cut(row["name"], LONGEST_NAME).split()),
        note=_cut(row["note"], LONGEST_NOTE),
        tags=tuple(sorted({_cut(tag, LONGEST_TAG) for tag in named[:MOST_TAGS]} - {""})),
        pinned=row["pinned"] == 1,
        archived=row["archived"] == 1,
        baseline=float(since) if isinstance(since, int | float) else 0.0,
    )


def _cut(text: Any, longest: int) -> str:
    return _UNSEEN.sub("", text)[:longest] if isinstance(text, str) else ""


def _is_id(run: Any) -> bool:
    return isinstance(run, str) and _ID.fullmatch(run) is not None


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except database.ERRORS as error:
        what = trouble(error, path)
        if what in (Trouble.DAMAGED, Trouble.FOREIGN):
            raise CorruptEntry(
                f"{FILE} is no file of labels: {error}",
                remedy="move it away to start without labels; reports are safe",
            ) from error
        if what is Trouble.OURS:
            raise
        raise DiskFull(
            f"labels cannot be written or read: {error}",
            remedy=f"make {path.parent} writable, or free some disk space",
        ) from error
    except OSError as error:
        raise DiskFull(
            f"labels cannot be reached: {error.strerror}", remedy=f"make {path.parent} writable"
        ) from error
