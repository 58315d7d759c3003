"""Event logs as the network reads them.

An activity is its place in the training cases' vocabulary; any other activity is *unknown*. Beside
it stand six time features of an event:

    since midnight, month, weekday, hour, log(1 + since the last event), log(1 + since the start)

(seconds before the logarithms), each standardised with the mean and deviation of the training
cases' events. The two durations span seconds to months, so they alone are taken in logarithms; the
calendar's features are already of one scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from qcore.errors import BrokenCheckpoint
from qcore.suffix.logs.event_log import EventLog, check_learnable

DAY = 86_400
FEATURES = ("midnight", "month", "weekday", "hour", "since_last", "since_start")


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A log's cases as numbers.

    Attributes:
        activity: vocabulary places, `unknown` for what training never saw.
        times: standardised features.
        starts: where each case begins, and at the end the number of events.
        unknown: the vocabulary's size; as an input it is the unknown activity.
        codes: numbers that tell unknown activities apart, for measuring distances.
    """

    activity: Int[np.ndarray, " events"]
    times: Float[np.ndarray, "events 6"]
    starts: Int[np.ndarray, " cases+1"]
    unknown: int
    codes: Int[np.ndarray, " events"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def end(self) -> int:
        """The output column, and target, of a case's end."""
        return self.unknown

    @property
    def lengths(self) -> Int[np.ndarray, " cases"]:
        """Events of each case."""
        return np.diff(self.starts)

    def suffix(self, case: int, length: int) -> list[int]:
        """What truly follows the first `length` events, in `codes`."""
        return self.codes[self.starts[case] + length : self.starts[case + 1]].tolist()

    def padded(
        self, cases: Int[np.ndarray, " cases"], time: int
    ) -> tuple[Int[np.ndarray, "cases time"], Float[np.ndarray, "cases time 6"]]:
        """The first `time` events of cases; shorter cases are padded on the right with zeros."""
        at = np.arange(time)
        inside = at < self.lengths[cases][:, None]
        flat = np.where(inside, self.starts[cases][:, None] + at, 0)
        activity = np.where(inside, self.activity[flat], 0).astype(np.int64)
        return activity, np.where(inside[..., None], self.times[flat], 0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Encoder:
    """What the training cases taught: the vocabulary, and the features' means and deviations."""

    vocabulary: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def encode(self, log: EventLog) -> Encoded:
        """Any log, in this vocabulary."""
        known = {name: place for place, name in enumerate(self.vocabulary)}
        unknown = len(known)
        place = np.array([known.get(name, unknown) for name in log.names], dtype=np.int64)
        # Two unknown activities differ from each other and from every prediction.
        code = np.where(place == unknown, unknown + 1 + np.arange(len(place)), place)
        times = (_features(log) - np.array(self.mean)) / np.array(self.deviation)
        return Encoded(
            place[log.activity], times.astype(np.float32), log.starts, unknown, code[log.activity]
        )

    def names(self, tokens: list[int]) -> list[str]:
        """Activities' names."""
        return [self.vocabulary[token] for token in tokens]

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "vocabulary": list(self.vocabulary),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Encoder:
        """Raises BrokenCheckpoint if fields are missing or do not fit."""
        try:
            made = cls(
                tuple(str(name) for name in data["vocabulary"]),
                tuple(float(value) for value in data["mean"]),
                tuple(float(value) for value in data["deviation"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenCheckpoint(
                f"the checkpoint's vocabulary cannot be read ({error!r})", remedy="train again"
            ) from error
        if not len(made.mean) == len(made.deviation) == len(FEATURES):
            raise BrokenCheckpoint(
                f"the checkpoint has {len(made.mean)} time features, not {len(FEATURES)}",
                remedy="train again with this version",
            )
        return made


def learn_encoder(training: EventLog) -> Encoder:
    """Vocabulary, means and deviations of the training cases.

    Raises:
        DataError: there is nothing to learn from (`check_learnable`).
    """
    check_learnable(training)
    features = _features(training)
    deviation = features.std(axis=0)
    # A feature that never changes in training says nothing; it stays near 0 instead of exploding.
    deviation[deviation < 1e-6] = 1.0
    return Encoder(
        tuple(training.names[number] for number in np.unique(training.activity)),
        tuple(features.mean(axis=0).tolist()),
        tuple(deviation.tolist()),
    )


def _features(log: EventLog) -> Float[np.ndarray, "events 6"]:
    seconds = log.seconds
    days = np.floor(seconds / DAY)
    midnight = seconds - days * DAY
    first = np.repeat(seconds[log.starts[:-1]], log.lengths)
    last = np.concatenate([seconds[:1], seconds[:-1]])
    last[log.starts[:-1]] = seconds[log.starts[:-1]]
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return np.stack(
        [
            midnight,
            month.astype(np.float64),
            weekday,
            np.floor(midnight / 3600),
            np.log1p(np.maximum(seconds - last, 0)),
            np.log1p(np.maximum(seconds - first, 0)),
        ],
        axis=1,
    )
