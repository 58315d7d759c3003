"""The evaluate stage: the quantized network on the evaluation text, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cache.store import Cache
from qcore.evaluation.divergence import Reference
from qcore.evaluation.perplexity import WindowScore, score_window
from qcore.models.loading import Network
from qcore.pipeline.activations import HeldExponents
from qcore.pipeline.keys import Keys
from qcore.pipeline.stages.reference import Referee
from qcore.pipeline.stages.windows import EvaluationText, complete_scores, kept_scores
from qcore.progress import Progress

NetworkSource = Callable[[Progress], Network]
"""Gives the network to measure; called only when something is missing."""


class Evaluator:
    """Scores what is missing of one recipe's evaluation."""

    def __init__(self, keys: Keys, cache: Cache, referee: Referee, text: EvaluationText):
        self._keys = keys
        self._cache = cache
        self._referee = referee
        self._text = text
        self._known: list[WindowScore | None] = []
        self._references: dict[int, Reference] = {}

    def prepare(self) -> None:
        """Look up what is known, and take what the rest is compared with.

        Called while the network is as it was loaded: later it is changed.
        """
        self._known = kept_scores(self._keys, self._cache, "evaluate")
        if self._keys.recipe.evaluation.divergence:
            missing = [index for index, known in enumerate(self._known) if known is None]
            self._references = {index: self._referee.hidden(index) for index in missing}

    def scores(
        self, network: NetworkSource, progress: Progress, held: HeldExponents | None = None
    ) -> tuple[list[WindowScore], bool]:
        """The quantized network's scores, and whether the cache had them all.

        Args:
            network: gives it.
            progress: told of each window.
            held: what the network's inputs are counted in.
        """

        def score(index: int) -> WindowScore:
            model = network(progress).model
            reference = self._references.get(index)
            if reference is not None:
                reference = reference.to(model.device)
            if held is not None:
                held.take()  # of the window before, or of whoever else used the network
            found = score_window(model, self._text.window(index), reference)
            return replace(found, held=(held.take() or None) if held is not None else None)

        return complete_scores(self._keys, self._cache, "evaluate", self._known, score, progress)
