"""What every stage of a suffix run reads: the log's cases, divided, encoded, cut into prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from qcore.errors import DataError
from qcore.pipeline.suffix.source import read_log, split_of
from qcore.recipe import Recipe
from qcore.suffix.batches import Batch, Prefixes, batches, prefixes
from qcore.suffix.encoding import Encoded, Encoder, learn_encoder
from qcore.suffix.folds import Split
from qcore.suffix.logs.event_log import EventLog

ROWS = 1024
"""Prefixes that go through the network together where nothing is learned."""


class Material:
    """A recipe's cases; each part is made when it is first asked for."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    @cached_property
    def log(self) -> EventLog:
        """The whole log. Raises DataError as `read_log`."""
        return read_log(self._recipe)

    @cached_property
    def split(self) -> Split:
        """Which cases do what."""
        return split_of(self._recipe, self.log)

    @cached_property
    def encoder(self) -> Encoder:
        """Learned from the training cases."""
        return learn_encoder(self.log.select(self.split.train))

    @cached_property
    def encoded(self) -> Encoded:
        """All cases as numbers."""
        return self.encoder.encode(self.log)

    @cached_property
    def learn(self) -> Prefixes:
        """Prefixes to learn from."""
        return self._of("train", self.split.train)

    @cached_property
    def validate(self) -> Prefixes:
        """Prefixes to stop and to tune by."""
        return self._of("validate", self.split.validate)

    @cached_property
    def test(self) -> Prefixes:
        """Prefixes to score: of the first `windows` test cases, at most `length` events each."""
        part = self._recipe.evaluation
        return _short(self._of("test", self.split.test[: part.windows]), part.length)

    @cached_property
    def calibration(self) -> Prefixes:
        """Prefixes whose inputs scales and rounding see, of the first training cases."""
        part = self._recipe.calibration
        assert part is not None
        return _short(self._of("train", self.split.train[: part.windows]), part.length)

    @cached_property
    def probe(self) -> Prefixes:
        """Prefixes behind sensitivities, `windows` × `length` of them, evenly spread."""
        part = self._recipe.precision
        assert part is not None
        asked = self.calibration
        count = min(len(asked), part.probe.windows * part.probe.length)
        place = np.unique(np.linspace(0, len(asked) - 1, count).astype(np.int64))
        return Prefixes(asked.case[place], asked.length[place])

    def calibration_batches(self) -> Iterator[Batch]:
        """Teacher-forced batches over the calibration prefixes, always in one order."""
        return batches(self.encoded, self.calibration, rows=ROWS)

    def true(self, asked: Prefixes) -> list[list[int]]:
        """What truly follows each prefix."""
        pairs = zip(asked.case.tolist(), asked.length.tolist(), strict=True)
        return [self.encoded.suffix(case, length) for case, length in pairs]

    def _of(self, what: str, cases: np.ndarray) -> Prefixes:
        found = self._every.of(cases)
        if len(found) == 0:
            raise DataError(
                f"none of the {len(cases)} cases to {what} is longer than 2 events",
                remedy="give a log with longer cases, or another split",
            )
        return found

    @cached_property
    def _every(self) -> Prefixes:
        return prefixes(self.encoded)


def _short(asked: Prefixes, length: int) -> Prefixes:
    kept = asked.length <= length
    return Prefixes(asked.case[kept], asked.length[kept])
