"""A log at a glance: cases, variants, lengths, and which activity directly follows which.

The directly-follows graph has a node for every activity, and an arrow a → b weighted by how often b
came right after a within a case. It says nothing of what depends on what further back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcore.suffix.logs.event_log import EventLog


@dataclass(frozen=True, slots=True)
class Activity:
    """One node.

    Attributes:
        name: of the activity.
        events: how often it happened.
        place: mean place in its cases, 0 for a case's first event.
        begins: cases that it begins.
        ends: cases that it ends.
    """

    name: str
    events: int
    place: float
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log holds.

    Attributes:
        cases: how many.
        events: how many.
        variants: distinct sequences of activities.
        common: share of the cases that follow the most common variant.
        shortest: events of the shortest case.
        median: of the median case.
        longest: of the longest case.
        lengths: (events, cases), ascending.
        activities: by number, as the log numbers them.
        follows: (a, b, times), most frequent first.
        first: seconds since 1970 of the first event.
        last: of the last.
    """

    cases: int
    events: int
    variants: int
    common: float
    shortest: int
    median: float
    longest: int
    lengths: tuple[tuple[int, int], ...]
    activities: tuple[Activity, ...]
    follows: tuple[tuple[int, int, int], ...]
    first: float
    last: float


def facts_of(log: EventLog) -> LogFacts:
    """The facts of a log."""
    _, counts = np.unique([hash(trace) for trace in log.traces()], return_counts=True)
    lengths, cases = np.unique(log.lengths, return_counts=True)
    return LogFacts(
        cases=len(log),
        events=len(log.activity),
        variants=len(counts),
        common=float(counts.max() / len(log)),
        shortest=int(lengths[0]),
        median=float(np.median(log.lengths)),
        longest=int(lengths[-1]),
        lengths=tuple(zip(lengths.tolist(), cases.tolist(), strict=True)),
        activities=_activities(log),
        follows=_follows(log),
        first=float(log.seconds.min()),
        last=float(log.seconds.max()),
    )


def _activities(log: EventLog) -> tuple[Activity, ...]:
    count = len(log.names)
    place = np.arange(len(log.activity)) - np.repeat(log.starts[:-1], log.lengths)
    events = np.bincount(log.activity, minlength=count)
    places = np.bincount(log.activity, weights=place, minlength=count) / np.maximum(events, 1)
    begins = np.bincount(log.activity[log.starts[:-1]], minlength=count)
    ends = np.bincount(log.activity[log.starts[1:] - 1], minlength=count)
    return tuple(
        Activity(name, int(events[at]), float(places[at]), int(begins[at]), int(ends[at]))
        for at, name in enumerate(log.names)
    )


def _follows(log: EventLog) -> tuple[tuple[int, int, int], ...]:
    inside = np.ones(len(log.activity), dtype=bool)
    inside[log.starts[1:] - 1] = False  # nothing follows a case's last event
    at = np.flatnonzero(inside)
    pairs = log.activity[at].astype(np.int64) * len(log.names) + log.activity[at + 1]
    values, times = np.unique(pairs, return_counts=True)
    order = np.argsort(-times, kind="stable")
    return tuple(
        (int(values[i] // len(log.names)), int(values[i] % len(log.names)), int(times[i]))
        for i in order
    )
