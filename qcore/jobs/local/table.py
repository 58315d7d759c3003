"""The queue: one SQLite table that any process may open at any time.

Two rules stand in the schema itself, so that no race can break them: a recipe is queued or running
at most once, and a device is leased to at most one running job. Every change is one transaction;
a process killed in the middle of it has changed nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qcore.errors import DiskFull, JobError, QuantscopeError
from qcore.jobs.local.process import Worker
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe

BUSY_SECONDS = 15.0
_SCHEMA = """
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
    cancel REAL                        -- when somebody asked it to stop
);
CREATE UNIQUE INDEX IF NOT EXISTS one_live_job_per_recipe
    ON job(digest) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX IF NOT EXISTS one_running_job_per_device
    ON job(device) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS queue ON job(state, queued);
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A running job as its keepers see it."""

    id: str
    device: str
    worker: Worker
    place: str
    heartbeat: float
    cancel: float | None


class Table:
    """The queue in `path`; made if it is not there.

    Raises (every method):
        DiskFull: the change could not be written; nothing has changed.
        JobError: the file is damaged, or held by another process for too long.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def add(self, recipes: Sequence[Recipe]) -> list[str]:
        """Queue recipes; the ids of their jobs, old ones for recipes that are live already."""
        now = time.time()
        sweep = secrets.token_hex(6) if len({recipe.digest for recipe in recipes}) > 1 else ""
        ids = []
        with self.transaction() as sql:
            for recipe in recipes:
                found = sql.execute(
                    "SELECT id FROM job WHERE digest = ? AND state IN ('queued', 'running')",
                    (recipe.digest,),
                ).fetchone()
                if found is None:
                    found = (secrets.token_hex(6),)
                    sql.execute(
                        "INSERT INTO job (id, digest, recipe, state, created, queued, sweep)"
                        " VALUES (?, ?, ?, 'queued', ?, ?, ?)",
                        (found[0], recipe.digest, recipe.to_json(), now, now, sweep),
                    )
                ids.append(found[0])
        return ids

    def jobs(self, limit: int) -> list[Job]:
        """The newest readable jobs, newest first."""
        rows = self._read("SELECT * FROM job ORDER BY created DESC, seq DESC LIMIT ?", (limit,))
        jobs = []
        for row in rows:
            with contextlib.suppress(QuantscopeError, ValueError, TypeError):
                jobs.append(_job(row))
        return jobs

    def job(self, job: str) -> Job:
        """One job. Raises JobError when there is none, or none that this version reads."""
        rows = self._read("SELECT * FROM job WHERE id = ?", (job,))
        if not rows:
            raise JobError(f"there is no job {job[:40]!r}", remedy="see the Jobs page for ids")
        try:
            return _job(rows[0])
        except (QuantscopeError, ValueError, TypeError) as error:
            raise JobError(
                f"job {job} was written by another version of Quantscope: {error}",
                remedy="open it with that version",
            ) from error

    def running(self) -> list[Run]:
        """Every running job, readable or not: its lease counts either way."""
        rows = self._read("SELECT * FROM job WHERE state = 'running'")
        return [
            Run(
                row["id"],
                row["device"],
                Worker(row["pid"] or 0, row["born"] or 0.0),
                row["place"] or "",
                row["heartbeat"] or 0.0,
                row["cancel"],
            )
            for row in rows
        ]

    def waiting(self) -> bool:
        """Whether anything is queued."""
        return bool(self._read("SELECT 1 FROM job WHERE state = 'queued' LIMIT 1"))

    def next_queued(self) -> Job | None:
        """The first readable job in the queue. Call it inside a transaction."""
        for row in self._read("SELECT * FROM job WHERE state = 'queued' ORDER BY queued, seq"):
            with contextlib.suppress(QuantscopeError, ValueError, TypeError):
                return _job(row)
        return None

    def start(self, job: str, device: str, worker: Worker, place: str) -> None:
        """Queued → running. Call it inside the transaction that chose job and device."""
        now = time.time()
        self._write(
            "UPDATE job SET state = 'running', device = ?, started = ?, ended = NULL, pid = ?,"
            " born = ?, place = ?, heartbeat = ?, cancel = NULL, message = '', stage = '',"
            " done = 0, total = 0 WHERE id = ? AND state = 'queued'",
            (device, now, worker.pid, worker.born, place, now, job),
        )

    def end(self, job: str, pid: int, state: JobState, message: str = "", report: str = "") -> bool:
        """Running under `pid` → an ended state; False when that is no longer how it stands."""
        return self._write(
            "UPDATE job SET state = ?, message = ?, report = ?, ended = ?, pid = NULL"
            " WHERE id = ? AND state = 'running' AND pid = ?",
            (state.value, message, report, time.time(), job, pid),
        )

    def fail_queued(self, job: str, message: str) -> bool:
        """Queued → failed, for a worker that cannot even be started."""
        return self._write(
            "UPDATE job SET state = 'failed', message = ?, ended = ?"
            " WHERE id = ? AND state = 'queued'",
            (message, time.time(), job),
        )

    def ask_cancel(self, job: str) -> None:
        """Queued → cancelled; a running job gets the flag, once."""
        now = time.time()
        with self.transaction() as sql:
            sql.execute(
                "UPDATE job SET state = 'cancelled', message = 'cancelled while queued', ended = ?"
                " WHERE id = ? AND state = 'queued'",
                (now, job),
            )
            sql.execute(
                "UPDATE job SET cancel = ?, message = 'stopping'"
                " WHERE id = ? AND state = 'running' AND cancel IS NULL",
                (now, job),
            )

    def requeue(self, job: str) -> None:
        """An ended job → queued, at the end of the queue. Raises JobError where that cannot be."""
        with self.transaction() as sql:
            row = sql.execute("SELECT state, digest FROM job WHERE id = ?", (job,)).fetchone()
            if row is None or not JobState(row["state"]).ended:
                raise JobError(
                    f"job {job[:40]} is {row['state'] if row else 'unknown'}, so it cannot resume",
                    remedy="resume a failed or cancelled job",
                )
            twin = sql.execute(
                "SELECT id FROM job WHERE digest = ? AND state IN ('queued', 'running')",
                (row["digest"],),
            ).fetchone()
            if twin is not None:
                raise JobError(
                    f"the recipe of job {job} is live already as job {twin['id']}",
                    remedy="follow that one",
                )
            sql.execute(
                "UPDATE job SET state = 'queued', queued = ?, started = NULL, ended = NULL,"
                " device = '', message = '', report = '', attempt = attempt + 1, stage = '',"
                " done = 0, total = 0, pid = NULL, heartbeat = NULL, cancel = NULL WHERE id = ?",
                (time.time(), job),
            )

    def is_mine(self, job: str, pid: int) -> bool:
        """Whether the job runs under `pid`; waits for a dispatcher that is just writing so."""
        with self.transaction() as sql:
            found = sql.execute(
                "SELECT 1 FROM job WHERE id = ? AND state = 'running' AND pid = ?", (job, pid)
            ).fetchone()
        return found is not None

    def beat(self, job: str, pid: int) -> bool:
        """Say that the worker lives; False when it should stop: cancelled, or no longer its job."""
        self._write(
            "UPDATE job SET heartbeat = ? WHERE id = ? AND state = 'running' AND pid = ?",
            (time.time(), job, pid),
        )
        return bool(
            self._read(
                "SELECT 1 FROM job"
                " WHERE id = ? AND state = 'running' AND pid = ? AND cancel IS NULL",
                (job, pid),
            )
        )

    def progress(self, job: str, pid: int, stage: str, done: int, total: int, message: str) -> None:
        """The newest event of a running job."""
        self._write(
            "UPDATE job SET stage = ?, done = ?, total = ?,"
            " message = CASE WHEN cancel IS NULL THEN ? ELSE message END"
            " WHERE id = ? AND state = 'running' AND pid = ?",
            (stage, done, total, message, job, pid),
        )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Statements that happen together or not at all, alone among all processes."""
        with self._lock, _translated(self._path):
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself; only a new connection is sure to be clean.
                self.close()
                raise

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _read(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._lock, _translated(self._path):
            return self._open().execute(statement, values).fetchall()

    def _write(self, statement: str, values: Sequence[object]) -> bool:
        with self._lock, _translated(self._path):
            return self._open().execute(statement, values).rowcount > 0

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            try:
                _prepare(connection, self._path.with_suffix(".lock"))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _prepare(connection: sqlite3.Connection, lock_path: Path) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    # Switching to WAL does not wait for other processes, so the first ones take turns.
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute("PRAGMA user_version = 1")


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JobError(
                f"the job queue {path} is damaged: {error}",
                remedy="move the file away to start an empty queue; finished reports are safe",
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise JobError(
                f"the job queue was busy for {BUSY_SECONDS:.0f} s", remedy="try again"
            ) from error
        if code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE):
            raise
        raise DiskFull(
            f"the job queue cannot be written: {error}", remedy="free some disk space"
        ) from error
    except OSError as error:
        raise DiskFull(
            f"the job queue cannot be opened: {error}",
            remedy="free some disk space, or make its folder writable",
        ) from error


@functools.lru_cache(maxsize=2048)
def _recipe(text: str) -> Recipe:
    return Recipe.from_json(text)


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        recipe=_recipe(row["recipe"]),
        state=JobState(row["state"]),
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        sweep=row["sweep"],
        device=row["device"],
        message=row["message"],
        report=row["report"],
        attempt=row["attempt"],
        stage=row["stage"],
        done=row["done"],
        total=row["total"],
    )
