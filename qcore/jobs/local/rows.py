"""A row of the table as a Job. A recipe's text is parsed once, however often it is listed."""

from __future__ import annotations

import functools
import sqlite3

from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe

COLUMNS = (
    "id, recipe, state, created, started, ended, sweep, device, message, report, attempt, stage,"
    " done, total, ensure"
)
"""What a Job is read from."""


def job_of(row: sqlite3.Row) -> Job:
    """The Job of a row that holds COLUMNS.

    Raises:
        QuantscopeError: a recipe of another version.
        ValueError: a state or number of another version.
    """
    return Job(
        id=row["id"],
        recipe=_recipe(row["recipe"]),
        state=JobState(row["state"]),
        created=float(row["created"]),
        started=_time(row["started"]),
        ended=_time(row["ended"]),
        sweep=row["sweep"],
        device=row["device"],
        message=row["message"],
        report=row["report"],
        attempt=int(row["attempt"]),
        stage=row["stage"],
        done=int(row["done"]),
        total=int(row["total"]),
        ensure=row["ensure"],
    )


def _time(value: object) -> float | None:
    return None if value is None else float(str(value))


@functools.lru_cache(maxsize=2048)
def _recipe(text: str) -> Recipe:
    return Recipe.from_json(text)
