"""An event log as flat arrays: cases one after another, each in the order of time.

Case i owns events `starts[i]` to `starts[i + 1]`. Activities are numbers into `names`, times are
seconds since 1970 in UTC. A million events take 12 MB here; reading them takes about 30 times
that on the way (`qcore.suffix.logs.cost.reading_cost`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from qcore.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """Cases and what happened in them.

    Attributes:
        cases: identifiers, one a case.
        names: of activities, by number.
        activity: number of each event's activity.
        seconds: each event's time, seconds since 1970-01-01.
        starts: where each case begins, and at the end the number of events.
        notes: sentences on what reading changed, such as sorting by time.
    """

    cases: tuple[str, ...]
    names: tuple[str, ...]
    activity: Int[np.ndarray, " events"]
    seconds: Float[np.ndarray, " events"]
    starts: Int[np.ndarray, " cases+1"]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def lengths(self) -> Int[np.ndarray, " cases"]:
        """Events of each case."""
        return np.diff(self.starts)

    def select(self, chosen: Sequence[int] | np.ndarray) -> EventLog:
        """The cases with these numbers, in this order. Activities keep their numbers."""
        index = np.asarray(chosen, dtype=np.int64)
        lengths = self.lengths[index]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        events = np.repeat(self.starts[index] - starts[:-1], lengths) + np.arange(starts[-1])
        return EventLog(
            tuple(self.cases[i] for i in index),
            self.names,
            self.activity[events],
            self.seconds[events],
            starts,
            self.notes,
        )

    def traces(self) -> list[tuple[int, ...]]:
        """Each case's activity numbers."""
        flat = self.activity.tolist()
        return [tuple(flat[a:b]) for a, b in zip(self.starts, self.starts[1:], strict=False)]


def event_log(
    cases: Sequence[str] | np.ndarray,
    activities: Sequence[str] | np.ndarray,
    seconds: Float[np.ndarray, " events"],
    notes: Sequence[str] = (),
) -> EventLog:
    """A log from one row per event, in any order of cases.

    Events of a case are sorted by time; events of equal time keep the file's order. Cases keep the
    order in which they first appear.

    Raises:
        DataError: no events.
    """
    if len(seconds) == 0:
        raise DataError("the log has no events", remedy="give a log with at least 2 cases")
    case, case_names = _numbered(cases)
    activity, names = _numbered(activities)
    order = np.lexsort((seconds, case))
    moved = int((order != np.argsort(case, kind="stable")).sum())
    notes = list(notes)
    if moved:
        notes.append(
            f"{moved} of {len(order)} events were not in the order of time, and were sorted"
        )
    starts = np.concatenate([[0], np.cumsum(np.bincount(case))])
    return EventLog(
        tuple(case_names),
        tuple(names),
        activity[order].astype(np.int32),
        np.asarray(seconds, dtype=np.float64)[order],
        starts,
        tuple(notes),
    )


def check_learnable(log: EventLog, *, least: int = 2) -> None:
    """Refuse a log that no network can learn from.

    Raises:
        DataError: fewer than 2 cases or activities, or no case longer than `least` events.
    """
    if len(log) < 2:
        raise DataError(
            f"the log has {len(log)} case", remedy="give a log with at least 2 cases; 100 are few"
        )
    seen = np.unique(log.activity)
    if len(seen) < 2:
        raise DataError(
            f"all {len(log.activity)} events have the activity {log.names[seen[0]]!r}, so there is "
            "nothing to predict",
            remedy="choose another activity column",
        )
    longest = int(log.lengths.max())
    if longest <= least:
        raise DataError(
            f"the longest case has {longest} events, and a prefix has {least} or more",
            remedy="give a log with longer cases, or check the case column",
        )


def _numbered(values: Sequence[str] | np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Numbers by first appearance, and the value of each."""
    import pandas as pd

    codes, unique = pd.factorize(np.asarray(values, dtype=object))
    return codes.astype(np.int64), [str(value) for value in unique]
