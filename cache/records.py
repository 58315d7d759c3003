"""Small results by key: JSON text in one SQLite file, kept by diskcache.

diskcache reads whatever mode a row claims, and one of the modes is pickle: whoever can edit the
file could run code (CVE-2025-69872). `TextDisk` knows one mode, text inside the row; it never
pickles, and it neither opens nor removes a file that a row names.

A stored text is `SEAL STAMP JSON`. The seal is a SHA-256 over key, stamp and JSON, so that a row
which was damaged or moved to another key is noticed and counts as a miss. The stamp is the hour of
last use: reading needs no write lock unless the stamp is an hour old, and then the row is stored
again. With diskcache's least-recently-stored order this makes least-recently-used, to the hour.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache

from cache import database
from cache.database import Trouble, trouble
from cache.digest import digest_bytes
from cache.unwritable import UnwritableRecords, writable
from qcore.errors import CorruptEntry, DiskFull

FILE = diskcache.core.DBNAME
REFRESH_SECONDS = 3600
TIMEOUT_SECONDS = 20
_SEALED = re.compile(r"([0-9a-f]{64}) (\d{1,12}) (.*)", re.DOTALL)
_SETTINGS = {
    "eviction_policy": "least-recently-stored",
    "cull_limit": 100,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 1,
}
_KNOWN = {
    **diskcache.core.DEFAULT_SETTINGS,
    **diskcache.core.METADATA,
    "disk_min_file_size": 0,
    "disk_pickle_protocol": 0,
}
"""Settings that diskcache writes, with values of the types that it reads back."""
_COLUMNS = {
    *("rowid", "key", "raw", "store_time", "expire_time", "access_time"),
    *("access_count", "tag", "size", "mode", "filename", "value"),
}
_TRIGGERS = {f"Settings_{which}" for which in ("count_insert", "count_delete")} | {
    f"Settings_size_{when}" for when in ("insert", "update", "delete")
}
_ERRORS = (*database.ERRORS, diskcache.Timeout)


class TextDisk(diskcache.Disk):
    """Text keys and text values, both inside the row; everything else is refused."""

    def put(self, key: Any):
        """The key's column, and True for "not pickled"."""
        if type(key) is not str:
            raise TypeError(f"a record's key is a text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """The key of a row."""
        if not raw or type(key) is not str:
            raise _refusal("its key is not a text")
        return key

    def store(self, value: Any, read: bool, key: Any = None):
        """The row's (size, mode, file name, value)."""
        if type(value) is not str or read:
            raise TypeError(f"a record's value is a text, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> str:
        """The text of a row."""
        if mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not str:
            raise _refusal(f"its mode is {mode!r} where only text inside the row is written")
        return value

    def remove(self, file_path: str) -> None:
        """Do nothing: no record has a file, so a row that names one was not written by us."""


class Records:
    """JSON values by key in `folder`.

    Args:
        folder: where the database lies; exists.
        limit_bytes: the least recently used records go when the database grows beyond it.
        note: told, in a sentence, whatever went wrong without harm.
    """

    def __init__(self, folder: Path, limit_bytes: int, note: Callable[[str], None]):
        self._folder = folder
        self._limit = limit_bytes
        self._note = note
        self._store = self._open()

    def get(self, key: str) -> Any:
        """The value, or None when there is none or it is damaged."""
        try:
            text = self._store.get(key)
            if text is None:
                return None
            value, stamp = _unseal(key, str(text))
        except CorruptEntry as error:
            self._note(f"record {key[:12]} is not used: {error.fact}")
            self._forget(key)
            return None
        except _ERRORS as error:
            self._recover(error)
            return None
        if time.time() - stamp > REFRESH_SECONDS:
            with contextlib.suppress(DiskFull):  # a full disk may still be read from
                self.put(key, value)
        return value

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value.

        Raises:
            TypeError: not a JSON value.
            ValueError: NaN or an infinity, for which JSON has no word.
            DiskFull: it could not be written.
        """
        text = _seal(key, json.dumps(value, ensure_ascii=False, allow_nan=False))
        try:
            self._store.set(key, text)
        except diskcache.Timeout as error:
            self._recover(error)  # not kept, as if it had been evicted
        except database.ERRORS as error:
            if not self._recover(error):
                raise _cannot_write(error) from error
            self._store.set(key, text)

    def has(self, key: str) -> bool:
        """Whether there is a row of that key."""
        try:
            return key in self._store
        except _ERRORS as error:
            self._recover(error)
            return False

    def volume(self) -> int:
        """Bytes on disk."""
        return sum(_size(path) for path in self._files())

    def clear(self) -> None:
        """Forget all records."""
        try:
            self._store.clear()
        except _ERRORS as error:
            self._recover(error)

    def close(self) -> None:
        """Close this thread's connection."""
        self._store.close()

    def _open(self) -> diskcache.Cache | UnwritableRecords:
        try:
            reason = _foreign(self._folder / FILE)
            if reason:
                self._set_aside(_inode(self._folder / FILE), reason)
            return self._connect()
        except (*database.ERRORS, OSError) as error:
            if not writable(self._folder):
                return UnwritableRecords(self._folder / FILE)
            if trouble(error, self._folder / FILE) is not Trouble.DAMAGED:
                raise _cannot_write(error) from error
            self._set_aside(_inode(self._folder / FILE))
            return self._connect()

    def _connect(self) -> diskcache.Cache:
        store = diskcache.Cache(
            str(self._folder),
            timeout=TIMEOUT_SECONDS,
            disk=TextDisk,
            size_limit=self._limit,
            **_SETTINGS,
        )
        self._opened = _inode(self._folder / FILE)
        return store

    def _recover(self, error: Exception) -> bool:
        """Leave a usable store behind; whether it is a new one, so that a retry makes sense."""
        # A failed COMMIT leaves its transaction open; only a new connection is sure to be clean.
        with contextlib.suppress(*database.ERRORS):
            self._store.close()
        what = trouble(error, self._folder / FILE)
        if what is Trouble.FOREIGN and (reason := _foreign(self._folder / FILE)):
            self._set_aside(self._opened, reason)
            self._store = self._connect()
            return True
        if what is not Trouble.DAMAGED:
            busy = isinstance(error, diskcache.Timeout)
            self._note(f"the cache's database did not answer: {'it is busy' if busy else error}")
            return False
        self._set_aside(self._opened)
        self._store = self._connect()
        return True

    def _forget(self, key: str) -> None:
        with contextlib.suppress(*_ERRORS):
            self._store.delete(key)

    def _set_aside(self, seen: int, what: str = "was damaged") -> None:
        """Move a database away, unless another process has done so since we opened it."""
        with (self._folder / "repair.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _inode(self._folder / FILE) != seen:
                return
            self._note(f"the cache's database {what}; it now lies aside as {FILE}.broken")
            for path in self._files():
                os.replace(path, path.with_name(path.name.replace(FILE, f"{FILE}.broken")))

    def _files(self) -> list[Path]:
        return [
            path
            for path in (self._folder / f"{FILE}{suffix}" for suffix in ("", "-wal", "-shm"))
            if path.exists()
        ]


def _foreign(path: Path) -> str:
    """Why a database is none that we wrote; empty where it is, or where there is none yet.

    diskcache believes what the file's Settings say: it hands rows that start with `disk_` to the
    Disk, runs `sqlite_` ones as pragmas, and counts with the others. So they are read first.
    """
    if not path.exists():
        return ""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", TIMEOUT_SECONDS, uri=True)
    try:
        rows = connection.execute("SELECT type, name FROM sqlite_master LIMIT 100").fetchall()
        tables = {name for kind, name in rows if kind == "table"}
        triggers = {name for kind, name in rows if kind == "trigger"}
        if not tables & {"Cache", "Settings"}:
            return ""  # another process is making it just now
        columns = {row[1] for row in connection.execute("PRAGMA table_info(Cache)")}
        settings = connection.execute("SELECT key, value FROM Settings LIMIT 100").fetchall()
    except sqlite3.OperationalError as error:
        # A busy or unwritable file says nothing about what is in it.
        known = trouble(error, path) in (Trouble.DAMAGED, Trouble.FOREIGN)
        return f"cannot be read ({error})" if known else ""
    finally:
        connection.close()
    if columns and columns != _COLUMNS:
        return "has other columns than this version's"
    if triggers - _TRIGGERS:
        return "does things of its own when it is written to"
    odd = [
        str(key)[:40]
        for key, value in settings
        if key not in _KNOWN or type(value) is not type(_KNOWN[key])
    ]
    return f"has settings that nobody here writes ({', '.join(odd[:3])})" if odd else ""


def _seal(key: str, body: str) -> str:
    stamp = str(int(time.time()))
    return f"{digest_bytes(f'{key} {stamp} {body}'.encode())} {stamp} {body}"


def _unseal(key: str, text: str) -> tuple[Any, int]:
    found = _SEALED.fullmatch(text)
    if not found or digest_bytes(f"{key} {text[65:]}".encode()) != found[1]:
        raise _refusal("its seal does not fit its text")
    return json.loads(found[3]), int(found[2])


def _refusal(fact: str) -> CorruptEntry:
    return CorruptEntry(fact, remedy="it will be made again; clear the cache if this recurs")


def _cannot_write(error: Exception) -> DiskFull:
    return DiskFull(
        f"the cache's database cannot be used: {error}",
        remedy="free some disk space, or make its folder writable",
    )


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
