"""What a network has to beat: predictors that only count.

**Longest matching prefix.** The continuation that followed most often in training after the same
history: the whole prefix where some training case began with it, else the longest run of latest
activities (up to `RECENT`) that some training case contains. Ties go to the continuation seen
first.

**First-order Markov.** The next activity depends on the last one alone; suffixes are drawn from the
chain of observed frequencies until it ends, and the one of least expected distance is given
(`qcore.suffix.decode`). That is the most favourable reading: following the likeliest step runs in
circles, and the likeliest path is always a short one.

Both learn from the same prefixes as the network: continuations count from k ≥ `least` on, and only
suffixes that are not empty unless asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from qcore.suffix.batches import Prefixes
from qcore.suffix.decode import least_expected_distance
from qcore.suffix.encoding import Encoded
from qcore.suffix.metrics import text

RECENT = 12
"""Latest activities that a partial match looks at."""
DRAWS = 200
"""Suffixes drawn from the Markov chain per last activity."""


class Lookup:
    """Most frequent continuation by longest matching prefix, learned from training prefixes."""

    def __init__(self, encoded: Encoded, learned: Prefixes):
        self._encoded = encoded
        whole: dict[str, Counter[str]] = defaultdict(Counter)
        recent: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(RECENT + 1)]
        overall: Counter[str] = Counter()
        for history, suffix in self._pairs(learned):
            whole[history][suffix] += 1
            overall[suffix] += 1
            for events in range(1, min(RECENT, len(history)) + 1):
                recent[events][history[-events:]][suffix] += 1
        self._whole = {history: _first(counts) for history, counts in whole.items()}
        self._recent = [{h: _first(c) for h, c in each.items()} for each in recent]
        self._overall = _first(overall)

    def predict(self, asked: Prefixes) -> list[list[int]]:
        """One suffix a prefix."""
        return [self._find(history) for history, _ in self._pairs(asked)]

    def _pairs(self, asked: Prefixes) -> list[tuple[str, str]]:
        """(history, suffix) as strings, a character an activity."""
        cases = {}
        starts = self._encoded.starts
        for case in np.unique(asked.case):
            cases[case] = text(self._encoded.codes[starts[case] : starts[case + 1]].tolist())
        return [
            (cases[case][:length], cases[case][length:])
            for case, length in zip(asked.case, asked.length.tolist(), strict=True)
        ]

    def _find(self, history: str) -> list[int]:
        found = self._whole.get(history)
        for events in range(min(RECENT, len(history)), 0, -1):
            if found is not None:
                break
            found = self._recent[events].get(history[-events:])
        return _activities(self._overall if found is None else found)


class Markov:
    """A first-order chain over the training cases' activities.

    Args:
        encoded: holds the cases.
        learned: training prefixes; transitions from their last activities on are counted.
        longest: events of a suffix at most.
        empty: whether a suffix may be empty.
        seed: of the draws.
    """

    def __init__(
        self,
        encoded: Encoded,
        learned: Prefixes,
        longest: int,
        *,
        empty: bool = False,
        seed: int = 0,
    ):
        self._encoded = encoded
        outputs = encoded.end + 1
        counts = np.zeros((outputs, outputs))
        for case in np.unique(learned.case):
            first = int(learned.length[learned.case == case].min())
            begin, stop = encoded.starts[case] + first - 1, encoded.starts[case + 1]
            trace = np.append(encoded.activity[begin:stop], encoded.end)
            np.add.at(counts, (trace[:-1], trace[1:]), 1)
        # A last activity never followed by anything, the unknown one too, goes on as all do.
        silent = counts.sum(1) == 0
        counts[silent] = counts.sum(0)
        self._suffixes = [
            _markov_suffix(counts, last, longest, empty, np.random.default_rng([seed, last]))
            for last in range(outputs)
        ]

    def predict(self, asked: Prefixes) -> list[list[int]]:
        """One suffix a prefix."""
        last = self._encoded.activity[self._encoded.starts[asked.case] + asked.length - 1]
        return [self._suffixes[activity] for activity in last]


def _markov_suffix(
    counts: np.ndarray, last: int, longest: int, empty: bool, random: np.random.Generator
) -> list[int]:
    end = len(counts) - 1
    cumulative = counts.cumsum(1)
    state = np.full(DRAWS, last)
    drawn: list[list[int]] = [[] for _ in range(DRAWS)]
    for time in range(longest):
        rows = cumulative[state]
        if time == 0 and not empty and rows[0, end - 1] > 0:
            rows = rows[:, :end]
        limit = random.random(DRAWS) * rows[:, -1]
        state = (rows <= limit[:, None]).sum(1)
        going = False
        for draw, activity in enumerate(state.tolist()):
            if activity != end and len(drawn[draw]) == time:
                drawn[draw].append(activity)
                going = True
        if not going:
            break
    return least_expected_distance(drawn)[0]


def _first(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0] if counts else ""


def _activities(suffix: Sequence[str]) -> list[int]:
    return [ord(letter) - 0x100 for letter in suffix]
