"""A simulated process whose best possible suffix similarity is known.

An order is received and takes one of two routes. What it took decides how it is shipped at the
very end (a long dependency), after everything that lies between:

    Receive → route → Check, again and again → three preparations in any order → Inspect?
            → shipping by route → Close

    choice            Standard .6 or Express .4; Inspect with probability .3
    loop              Check, then Repair and Check again with probability .35, at most 3 times
    parallelism       Pick, Pack and Bill in each of their 6 orders alike
    long dependency   Standard → Ship by truck (.9) or Ship by air; Express the other way round

Times carry no information: waits are exponential with a mean of their own for each activity. So
the activities of a prefix are all that a predictor can use, and the process has few enough traces
to list them all with their probabilities (`traces`).

**Best possible similarity.** A prefix leaves a distribution over suffixes: the traces that begin
with it, in proportion. The best prediction is the suffix of greatest expected similarity under it.
`best_similarity` looks for it among the possible suffixes and then edits the best one (insert,
delete, substitute, swap neighbours) as long as one edit helps; prefixes are weighted as often as
the process makes them. No median over all strings is proven: the number is reached by a predictor
that knows the process, and none was found above it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from qcore.errors import InvalidRecipe
from qcore.suffix.logs.event_log import EventLog, event_log
from qcore.suffix.metrics import similarity_matrix

EXPRESS = 0.4
REPEAT = 0.35
REPEATS = 3
INSPECT = 0.3
FAITHFUL = 0.9
PREPARATIONS = ("Pick", "Pack", "Bill")

START = 1_704_096_000.0
"""2024-01-01 08:00, seconds since 1970."""
BETWEEN_CASES = 1800.0
MEAN_WAIT = {
    "Receive order": 0.0,
    "Standard route": 600.0,
    "Express route": 300.0,
    "Check": 3600.0,
    "Repair": 14_400.0,
    "Pick": 5400.0,
    "Pack": 2700.0,
    "Bill": 7200.0,
    "Inspect": 10_800.0,
    "Ship by truck": 86_400.0,
    "Ship by air": 43_200.0,
    "Close": 172_800.0,
}
"""Seconds between an activity and the event before it, on average."""

Trace = tuple[str, ...]


def traces() -> dict[Trace, float]:
    """Every trace that the process can make, with its probability."""
    found: dict[Trace, float] = defaultdict(float)
    for express in (False, True):
        route = "Express route" if express else "Standard route"
        for repeats, repeated in _repeats():
            checks = ("Check", *("Repair", "Check") * repeats)
            for order in itertools.permutations(PREPARATIONS):
                for inspect in (False, True):
                    for air in (False, True):
                        chance = EXPRESS if express else 1 - EXPRESS
                        chance *= repeated / 6 * (INSPECT if inspect else 1 - INSPECT)
                        chance *= FAITHFUL if air == express else 1 - FAITHFUL
                        middle = ("Inspect",) if inspect else ()
                        ship = "Ship by air" if air else "Ship by truck"
                        trace = ("Receive order", route, *checks, *order, *middle, ship, "Close")
                        found[trace] += chance
    return dict(found)


def simulate(cases: int, seed: int = 0) -> EventLog:
    """A log of `cases` cases that follow the process; equal seeds give equal logs.

    Raises:
        InvalidRecipe: fewer than 2 cases.
    """
    if cases < 2:
        raise InvalidRecipe(f"{cases} cases are no log", remedy="simulate at least 2; 1000 are few")
    random = np.random.default_rng(seed)
    possible = traces()
    names = list(possible)
    drawn = random.choice(len(names), cases, p=np.array(list(possible.values())))
    begins = START + np.cumsum(random.exponential(BETWEEN_CASES, cases))
    ids: list[str] = []
    activities: list[str] = []
    seconds: list[float] = []
    for number, (index, begin) in enumerate(zip(drawn.tolist(), begins.tolist(), strict=True)):
        trace = names[index]
        waits = random.exponential([MEAN_WAIT[name] for name in trace])
        ids += [f"case {number + 1}"] * len(trace)
        activities += trace
        seconds += (begin + np.cumsum(waits)).tolist()
    return event_log(ids, activities, np.array(seconds))


def best_similarity(*, least: int = 2) -> float:
    """Greatest mean similarity that a predictor of this process reaches, k ≥ `least`.

    Over all prefixes with a suffix that is not empty, in the share in which the process makes them.
    """
    total = weight = 0.0
    for chance, suffixes in futures(least):
        _, reached = best_suffix(suffixes)
        total += chance * reached
        weight += chance
    return total / weight


def best_suffix(suffixes: dict[tuple[int, ...], float]) -> tuple[tuple[int, ...], float]:
    """The suffix of greatest expected similarity, and that expectation.

    Args:
        suffixes: with their probabilities, which sum to 1.
    """
    possible = list(suffixes)
    chances = np.array(list(suffixes.values()))
    activities = sorted({activity for suffix in possible for activity in suffix})
    best, reached = _best_of(possible, possible, chances)
    while True:
        found, value = _best_of(list(_edits(best, activities)), possible, chances)
        if value <= reached + 1e-9:
            return best, reached
        best, reached = found, value


def _best_of(
    candidates: Sequence[tuple[int, ...]], possible: Sequence[tuple[int, ...]], chances: np.ndarray
) -> tuple[tuple[int, ...], float]:
    means = similarity_matrix(candidates, possible).astype(np.float64) @ chances
    place = int(means.argmax())
    return candidates[place], float(means[place])


def _edits(suffix: tuple[int, ...], activities: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for place in range(len(suffix) + 1):
        for activity in activities:
            yield (*suffix[:place], activity, *suffix[place:])
            if place < len(suffix):
                yield (*suffix[:place], activity, *suffix[place + 1 :])
        if place < len(suffix):
            yield suffix[:place] + suffix[place + 1 :]
        if place + 1 < len(suffix):
            swapped = (suffix[place + 1], suffix[place])
            yield (*suffix[:place], *swapped, *suffix[place + 2 :])


def futures(least: int) -> Iterator[tuple[float, dict[tuple[int, ...], float]]]:
    """The chance of every prefix, and its suffixes' probabilities."""
    number = {name: place for place, name in enumerate(MEAN_WAIT)}
    after: dict[Trace, dict[tuple[int, ...], float]] = defaultdict(lambda: defaultdict(float))
    for trace, chance in traces().items():
        coded = tuple(number[name] for name in trace)
        for length in range(least, len(trace)):
            after[trace[:length]][coded[length:]] += chance
    for suffixes in after.values():
        chance = sum(suffixes.values())
        yield chance, {suffix: each / chance for suffix, each in suffixes.items()}


def _repeats() -> list[tuple[int, float]]:
    """(repairs, probability)."""
    chances = [REPEAT**n * (1 - REPEAT) for n in range(REPEATS)]
    return [*enumerate(chances), (REPEATS, REPEAT**REPEATS)]
