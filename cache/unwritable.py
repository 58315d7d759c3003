"""Records of a folder that cannot be written: what is there is served, nothing can be added.

A home on a read-only disk, or another user's, still answers exact repeats. diskcache writes its
settings whenever it opens a database, so here SQLite is asked directly, by the same seals. A
database in WAL mode cannot be opened where its side files cannot be made; it is then read as it
stands (`immutable`), without what was never moved out of its log. That is a miss, never a wrong
value: each text carries its seal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import threading
from pathlib import Path

from cache import database
from qcore.errors import DiskFull

NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says of folders that cannot be written; a full disk is another matter."""


def writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`; permissions do not tell, disks may be read-only."""
    probe = folder / f".{secrets.token_hex(8)}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()
    except OSError as error:
        return error.errno not in (*NO_WRITING, errno.ENOENT)
    return True


def refusal(folder: Path) -> DiskFull:
    """The error of whoever wants to write into such a folder."""
    return DiskFull(
        f"the cache's folder {folder} cannot be written",
        remedy="make it writable, or set QUANTSCOPE_HOME to another folder",
    )


class UnwritableRecords:
    """The texts of a records database, by key; stands in for diskcache's Cache.

    Args:
        path: the database; need not exist.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> str | None:
        """The text under `key`, or None."""
        row = self._row("SELECT value FROM Cache WHERE key = ? AND raw = 1", key)
        return row[0] if row and type(row[0]) is str else None

    def __contains__(self, key: str) -> bool:
        return self._row("SELECT 1 FROM Cache WHERE key = ? AND raw = 1", key) is not None

    def set(self, key: str, text: str) -> None:
        """Raise DiskFull."""
        raise refusal(self._path.parent)

    def delete(self, key: str) -> None:
        """Leave what cannot be removed."""

    def clear(self) -> None:
        """Raise DiskFull."""
        raise refusal(self._path.parent)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _row(self, statement: str, key: str) -> tuple | None:
        with self._lock, contextlib.suppress(*database.ERRORS):
            connection = self._connection or self._open()
            self._connection = connection
            if connection is not None:
                return connection.execute(statement, (key,)).fetchone()
        return None

    def _open(self) -> sqlite3.Connection | None:
        for how in ("mode=ro", "mode=ro&immutable=1"):
            connection = None
            try:
                connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?{how}", uri=True, check_same_thread=False
                )
                connection.execute("SELECT 1 FROM Cache LIMIT 1").fetchone()
                return connection
            except database.ERRORS:
                if connection is not None:
                    connection.close()
        return None
