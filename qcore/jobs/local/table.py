"""The queue: one SQLite table that any process may open at any time.

Two rules stand in the schema itself, so that no race can break them: a request (a recipe, or one
stage of it) is queued or running at most once, and a device is leased to at most one running job.
Every change is one transaction;
a process killed in the middle of it has changed nothing.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qcore.errors import JobError, QuantscopeError
from qcore.jobs.local import schema
from qcore.jobs.local.process import Worker
from qcore.jobs.local.rows import COLUMNS, job_of
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe


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
        JobError: the file is damaged, of a newer version, or held by another process for too long.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def add(self, recipes: Sequence[Recipe], ensure: str = "", name: str = "") -> list[str]:
        """Queue recipes; the ids of their jobs, old ones for requests that are live already."""
        now = time.time()
        sweep = secrets.token_hex(6) if len({recipe.digest for recipe in recipes}) > 1 else ""
        ids = []
        with self.transaction() as sql:
            for recipe in recipes:
                job = _live(sql, recipe.digest, ensure)
                if job is None:
                    job = secrets.token_hex(6)
                    sql.execute(
                        "INSERT INTO job (id, digest, recipe, state, created, queued, sweep,"
                        " ensure, name) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                        (job, recipe.digest, recipe.to_json(), now, now, sweep, ensure, name),
                    )
                ids.append(job)
        return ids

    def jobs(self, limit: int) -> list[Job]:
        """The newest readable jobs, newest first, and all that run."""
        return self.select(
            "WHERE state = 'running' OR seq IN (SELECT seq FROM job"
            " ORDER BY created DESC, seq DESC LIMIT ?) ORDER BY created DESC, seq DESC",
            (limit,),
        )

    def select(self, clauses: str, values: Sequence[object] = ()) -> list[Job]:
        """The readable jobs that these SQL clauses choose, in their order."""
        jobs = []
        for row in self.read(f"SELECT {COLUMNS} FROM job {clauses}", values):
            with contextlib.suppress(QuantscopeError, ValueError, TypeError):
                jobs.append(job_of(row))
        return jobs

    def job(self, job: str) -> Job:
        """One job. Raises JobError when there is none, or none that this version reads."""
        rows = self.read(f"SELECT {COLUMNS} FROM job WHERE id = ?", (job,))
        if not rows:
            raise JobError(f"there is no job {job[:40]!r}", remedy="see the Jobs page for ids")
        try:
            return job_of(rows[0])
        except (QuantscopeError, ValueError, TypeError) as error:
            raise JobError(
                f"job {job} was written by another version of Quantscope: {error}",
                remedy="open it with that version",
            ) from error

    def running(self) -> list[Run]:
        """Every running job, readable or not: its lease counts either way."""
        rows = self.read(
            "SELECT id, device, pid, born, place, heartbeat, cancel FROM job"
            " WHERE state = 'running'"
        )
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
        return bool(self.read("SELECT 1 FROM job WHERE state = 'queued' LIMIT 1"))

    def next_queued(self) -> Job | None:
        """The first readable job in the queue. Call it inside a transaction."""
        queued = self.read(f"SELECT {COLUMNS} FROM job WHERE state = 'queued' ORDER BY queued, seq")
        for row in queued:
            with contextlib.suppress(QuantscopeError, ValueError, TypeError):
                return job_of(row)
        return None

    def queue(self) -> list[str]:
        """The ids of the queued jobs, in the order in which they will start."""
        rows = self.read("SELECT id FROM job WHERE state = 'queued' ORDER BY queued, seq")
        return [row["id"] for row in rows]

    def put_first(self, where: str, value: str) -> int:
        """Queued jobs → the head of the queue, in the order that they have; returns how many.

        Args:
            where: SQL condition with one `?`, which says which jobs.
            value: for it.
        """
        with self.transaction() as sql:
            (first,) = sql.execute("SELECT MIN(queued) FROM job WHERE state = 'queued'").fetchone()
            ids = sql.execute(
                f"SELECT id FROM job WHERE {where} AND state = 'queued' ORDER BY queued, seq",
                (value,),
            ).fetchall()
            for place, row in enumerate(ids):
                sql.execute(
                    "UPDATE job SET queued = ? WHERE id = ?",
                    (first - 1 + place / len(ids), row["id"]),
                )
        return len(ids)

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

    def ask_cancel(self, where: str, value: str) -> list[str]:
        """Queued → cancelled; a running job gets the flag, once. In one step, however many.

        Args:
            where: SQL condition with one `?`, which says which jobs.
            value: for it.

        Returns:
            The ids of those that had not ended.
        """
        now = time.time()
        with self.transaction() as sql:
            live = sql.execute(
                f"SELECT id FROM job WHERE {where} AND state IN ('queued', 'running')", (value,)
            ).fetchall()
            sql.execute(
                "UPDATE job SET state = 'cancelled', message = 'cancelled while queued', ended = ?"
                f" WHERE {where} AND state = 'queued'",
                (now, value),
            )
            sql.execute(
                "UPDATE job SET cancel = ?, message = 'stopping'"
                f" WHERE {where} AND state = 'running' AND cancel IS NULL",
                (now, value),
            )
        return [row["id"] for row in live]

    def requeue(self, job: str) -> None:
        """An ended job → queued, at the end of the queue. Raises JobError where that cannot be."""
        with self.transaction() as sql:
            row = sql.execute(
                "SELECT state, digest, ensure FROM job WHERE id = ?", (job,)
            ).fetchone()
            if row is None or row["state"] not in _ENDED:
                raise JobError(
                    f"job {job[:40]} is {row['state'] if row else 'unknown'}, so it cannot resume",
                    remedy="resume a failed or cancelled job",
                )
            twin = _live(sql, row["digest"], row["ensure"])
            if twin is not None:
                raise JobError(
                    f"the recipe of job {job} is live already as job {twin}",
                    remedy="follow that one",
                )
            sql.execute(_REQUEUE, (time.time(), job))

    def requeue_all(self, where: str, value: str) -> int:
        """Failed and cancelled jobs → queued, in order, but those that are live as others.

        Args:
            where: SQL condition with one `?`, which says which jobs.
            value: for it.

        Returns:
            How many.
        """
        count = 0
        with self.transaction() as sql:
            stopped = sql.execute(
                f"SELECT id, digest, ensure FROM job WHERE {where}"
                " AND state IN ('failed', 'cancelled') ORDER BY seq",
                (value,),
            ).fetchall()
            for row in stopped:
                if _live(sql, row["digest"], row["ensure"]) is None:
                    sql.execute(_REQUEUE, (time.time(), row["id"]))
                    count += 1
        return count

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
            self.read(
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
        with self._lock, schema.translated(self._path):
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

    def read(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """The rows of one SELECT."""
        with self._lock, schema.translated(self._path):
            return self._open().execute(statement, values).fetchall()

    def _write(self, statement: str, values: Sequence[object]) -> bool:
        with self._lock, schema.translated(self._path):
            return self._open().execute(statement, values).rowcount > 0

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path)
        return self._connection


_ENDED = [state.value for state in JobState if state.ended]
_REQUEUE = (
    "UPDATE job SET state = 'queued', queued = ?, started = NULL, ended = NULL, device = '',"
    " message = '', report = '', attempt = attempt + 1, stage = '', done = 0, total = 0,"
    " pid = NULL, heartbeat = NULL, cancel = NULL WHERE id = ?"
)


def _live(sql: sqlite3.Connection, digest: str, ensure: str) -> str | None:
    """The queued or running job of a request."""
    found = sql.execute(
        "SELECT id FROM job WHERE digest = ? AND ensure = ? AND state IN ('queued', 'running')",
        (digest, ensure),
    ).fetchone()
    return None if found is None else found["id"]
