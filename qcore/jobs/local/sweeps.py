"""Sweeps in the queue: jobs that were submitted together, listed and counted as one.

Grouping happens in SQL, before anything is cut to a page: a sweep of hundreds is one entry, its
numbers are those of all its jobs, and what runs stands first wherever it is in the sweep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

from qcore.jobs.local.table import Table
from qcore.jobs.protocol import Job, JobState, Sweep

_ID = "CASE sweep WHEN '' THEN id ELSE sweep END"
MEMBER = f"{_ID} = ?"
"""SQL condition of the jobs of a sweep."""
_COUNTS = ", ".join(f"SUM(state = '{state}') AS {state}_jobs" for state in JobState)
_NEWS = "CASE state WHEN 'running' THEN 0 WHEN 'failed' THEN 1 WHEN 'cancelled' THEN 2 ELSE 3 END"


def tally(table: Table) -> dict[JobState, int]:
    """How many jobs there are in each state; of states of another version nothing is said."""
    found = {}
    for row in table.read("SELECT state, count(*) AS jobs FROM job GROUP BY state"):
        with contextlib.suppress(ValueError):
            found[JobState(row["state"])] = row["jobs"]
    return found


def listed(table: Table, states: Collection[JobState], first: int, count: int) -> list[Sweep]:
    """Sweeps, those that run first, then those that wait, then the newest."""
    return _read(
        table,
        f"FROM job GROUP BY sweep_id HAVING {_having(states)}"
        " ORDER BY running_jobs > 0 DESC, queued_jobs > 0 DESC, MAX(created) DESC, MAX(seq) DESC"
        " LIMIT ? OFFSET ?",
        (*states, count, first),
    )


def one(table: Table, sweep: str) -> Sweep | None:
    """The sweep of that id, if there is one."""
    found = _read(table, f"FROM job WHERE {MEMBER} GROUP BY sweep_id", (sweep,))
    return found[0] if found else None


def _read(table: Table, clauses: str, values: Sequence[object]) -> list[Sweep]:
    rows = table.read(
        f"SELECT {_ID} AS sweep_id, CAST(MIN(created) AS REAL) AS created,"
        f" MAX(name) AS title, {_COUNTS} {clauses}",
        values,
    )
    return [
        Sweep(
            row["sweep_id"],
            row["created"],
            {state: row[f"{state}_jobs"] for state in JobState if row[f"{state}_jobs"]},
            _reports(table, row["sweep_id"]) if row["finished_jobs"] else (),
            row["title"],
        )
        for row in rows
    ]


def counted(table: Table, states: Collection[JobState]) -> int:
    """How many sweeps there are for `listed` to list."""
    (row,) = table.read(
        f"SELECT count(*) AS sweeps FROM (SELECT {_ID} AS sweep_id FROM job GROUP BY sweep_id"
        f" HAVING {_having(states)})",
        tuple(states),
    )
    return row["sweeps"]


def jobs(
    table: Table, sweep: str, states: Collection[JobState], first: int, count: int
) -> list[Job]:
    """Jobs of a sweep: what runs first, then what went wrong, then the rest in order."""
    chosen = f" AND state IN ({_places(states)})" if states else ""
    return table.select(
        f"WHERE {MEMBER}{chosen} ORDER BY {_NEWS}, seq LIMIT ? OFFSET ?",
        (sweep, *states, count, first),
    )


def _reports(table: Table, sweep: str) -> tuple[str, ...]:
    rows = table.read(
        f"SELECT report FROM job WHERE {MEMBER} AND report != '' ORDER BY seq", (sweep,)
    )
    return tuple(row["report"] for row in rows)


def _having(states: Collection[JobState]) -> str:
    places = _places(states) if states else ", ".join(f"'{state}'" for state in JobState)
    return f"SUM(state IN ({places})) > 0"


def _places(states: Collection[JobState]) -> str:
    return ", ".join("?" * len(states))
