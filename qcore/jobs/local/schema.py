"""The queue's file: its schema, the versions it has had, and what can be wrong with it.

Version 1 knew whole runs only; version 2 has jobs that make sure of one stage; version 3 has names
of sweeps. A queue of an older version is brought up to this one when it is opened, in one
transaction; one of a newer version, or one whose columns are not ours, is refused with a sentence
and left as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cache import database
from cache.database import Trouble, trouble
from qcore.errors import DiskFull, JobError

VERSION = 3
BUSY_SECONDS = 15.0
_START_ANEW = "move the file away to start an empty queue; finished reports are safe"

_TABLE = """
CREATE TABLE IF NOT EXISTS job (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,              -- of the recipe
    recipe TEXT NOT NULL,              -- canonical JSON
    state TEXT NOT NULL,
    created REAL NOT NULL,
    queued REAL NOT NULL,              -- its place in the queue; a resume goes to the end
    started REAL,
    ended REAL,
    sweep TEXT NOT NULL,
    device TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1,
    stage TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    pid INTEGER,
    born REAL,
    place TEXT,                        -- where pid means something
    heartbeat REAL,
    cancel REAL,                       -- when somebody asked it to stop
    ensure TEXT NOT NULL DEFAULT '',   -- the one stage that is wanted; empty for a whole run
    name TEXT NOT NULL DEFAULT ''      -- of the sweep
)
"""
_INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS one_live_job_per_request"
    " ON job(digest, ensure) WHERE state IN ('queued', 'running')",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_running_job_per_device"
    " ON job(device) WHERE state = 'running'",
    "CREATE INDEX IF NOT EXISTS queue ON job(state, queued)",
    "CREATE INDEX IF NOT EXISTS sweep ON job(sweep)",
)
_NAMES = "ALTER TABLE job ADD COLUMN name TEXT NOT NULL DEFAULT ''"
_FROM = {
    0: (_TABLE, *_INDEXES),
    1: (
        "ALTER TABLE job ADD COLUMN ensure TEXT NOT NULL DEFAULT ''",
        _NAMES,
        "DROP INDEX IF EXISTS one_live_job_per_recipe",
        *_INDEXES,
    ),
    2: (_NAMES, *_INDEXES),
}
"""Version → the statements that make this one of it."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the queue in `path`, which is made, or brought up to date, where needed.

    Raises:
        JobError: a newer version wrote the file, or its table is not a queue's.
        sqlite3.Error, OSError: see `translated`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = database.text
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        if _version(connection) < VERSION:
            _update(connection, path)
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as ours.

    Raises:
        JobError: the file is damaged, busy for too long, or no queue of this version.
        DiskFull: it cannot be opened or written.
    """
    try:
        yield
    except database.ERRORS as error:
        what = trouble(error, path)
        if what is Trouble.DAMAGED:
            raise JobError(
                f"the job queue {path} is damaged: {error}", remedy=_START_ANEW
            ) from error
        if what is Trouble.BUSY:
            raise JobError(
                f"the job queue was busy for {BUSY_SECONDS:.0f} s", remedy="try again"
            ) from error
        if what is Trouble.FOREIGN:  # changed while it was open, or by somebody else
            raise JobError(
                f"the job queue {path} is not what this version writes: {error}",
                remedy=f"restart Quantscope; if that does not help, {_START_ANEW}",
            ) from error
        if what is Trouble.OURS:
            raise
        room = "free some disk space"
        remedy = room if what is Trouble.FULL else f"make its folder writable, or {room}"
        raise DiskFull(f"the job queue cannot be written: {error}", remedy=remedy) from error
    except OSError as error:
        raise DiskFull(
            f"the job queue cannot be opened: {error}",
            remedy="free some disk space, or make its folder writable",
        ) from error


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _update(connection: sqlite3.Connection, path: Path) -> None:
    # Switching to WAL does not wait for other processes, so the first ones take turns.
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        statements = _FROM.get(_version(connection), ())
        connection.execute("PRAGMA journal_mode = WAL")
        if statements:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if version > VERSION:
        raise JobError(
            f"the job queue {path} was written by a newer Quantscope: it has version {version}, "
            f"and this one reads {VERSION}",
            remedy=f"update Quantscope, or {_START_ANEW}",
        )
    found = {row["name"] for row in connection.execute("PRAGMA table_info(job)")}
    missing = [name for name in _columns() if name not in found]
    if missing:
        raise JobError(
            f"the job queue {path} lacks the columns {', '.join(missing)}", remedy=_START_ANEW
        )


def _columns() -> list[str]:
    return [line.split()[0] for line in _TABLE.strip().splitlines()[1:-1]]
