"""The assign stage: a bit budget becomes one format per layer, kept as one record.

Sensitivities are looked at where the method asks for them; dMX learns offsets instead, and can go
on from its last saved step when it was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

from cache.store import Cache
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.validation import grown_widths, planned_sizes
from qcore.pipeline.session import Session
from qcore.pipeline.stages.capture import Calibrator
from qcore.pipeline.stages.learn import Learner
from qcore.pipeline.stages.sensitivity import Sensitivities
from qcore.pipeline.stages.transform import Transformer
from qcore.precision.budget import assign
from qcore.progress import Progress
from qcore.report.report import PrecisionReport
from qcore.serialization import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class _Outcome:
    formats: dict[str, str]
    report: PrecisionReport


class FormatAssigner:
    """Spends a recipe's budget."""

    def __init__(
        self,
        keys: Keys,
        cache: Cache,
        session: Session,
        calibrator: Calibrator,
        transformer: Transformer,
    ):
        self._keys = keys
        self._cache = cache
        self._session = session
        self._sensitivities = Sensitivities(keys, cache, calibrator, transformer)
        self._learner = Learner(keys, cache, calibrator, transformer)

    def sense(self, progress: Progress) -> bool:
        """Measure what is missing of the sensitivities; returns whether nothing was."""
        return self._sensitivities.complete(progress)

    def assign(self, progress: Progress) -> tuple[dict[str, str], PrecisionReport, bool]:
        """One format per layer, how that came about, and whether the cache knew.

        Raises:
            InvalidRecipe: the budget cannot be reached with these pins and formats.
        """
        kept = self._cache.record(self._keys.assign)
        if kept is not None:
            outcome = from_plain(_Outcome, kept, "assignment")
            return outcome.formats, outcome.report, True
        outcome = self._solve(progress)
        self._cache.put_record(self._keys.assign, to_plain(outcome))
        return outcome.formats, outcome.report, False

    def _solve(self, progress: Progress) -> _Outcome:
        recipe, part = self._keys.recipe, self._keys.recipe.precision
        assert part is not None
        assert recipe.weights is not None
        sizes = self._session.sizes(self._keys, self._cache)
        layers = planned_sizes(sizes, grown_widths(recipe, sizes))
        table = self._sensitivities.table() if part.needs_sensitivity else None
        trained = self._learner.learn(layers, progress) if part.method == "dmx" else None
        solved = assign(
            layers,
            part,
            group=recipe.weights.group,
            table=table,
            offsets=None if trained is None else trained.offsets,
            seed=recipe.seed,
        )
        return _Outcome(
            solved.formats,
            PrecisionReport(
                bits=solved.bits,
                cost=solved.cost,
                note=solved.note,
                trajectory=None if trained is None else trained.trajectory,
            ),
        )
