"""The evaluate stage: the quantized network on the evaluation text, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cache.store import Cache
from qcore.evaluation.divergence import Reference
from qcore.evaluation.perplexity import WindowScore, score_tokens, window_score
from qcore.evaluation.tokens import TokenScores, token_statistics
from qcore.models.loading import Network
from qcore.pipeline.activations import HeldExponents
from qcore.pipeline.keys import Keys
from qcore.pipeline.stages.reference import Referee
from qcore.pipeline.stages.tokens import TokenKeeper
from qcore.pipeline.stages.windows import EvaluationText, complete_scores, kept_scores
from qcore.progress import Progress
from qcore.report.tokens import TokenStatistics

NetworkSource = Callable[[Progress], Network]
"""Gives the network to measure; called only when something is missing."""


class Evaluator:
    """Scores what is missing of one recipe's evaluation."""

    def __init__(self, keys: Keys, cache: Cache, referee: Referee, text: EvaluationText):
        self._keys = keys
        self._cache = cache
        self._referee = referee
        self._text = text
        self._keeper = TokenKeeper(keys, cache, "evaluate", text)
        self._known: list[WindowScore | None] = []
        self._tokens: dict[int, TokenScores] = {}
        self._references: dict[int, Reference] = {}

    def prepare(self) -> None:
        """Look up what is known, and take what the rest is compared with.

        Called while the network is as it was loaded: later it is changed.
        """
        self._known = kept_scores(self._keys, self._cache, "evaluate")
        kept = {index: self._keeper.kept(index) for index in range(len(self._known))}
        self._tokens = {index: tokens for index, tokens in kept.items() if tokens is not None}
        if self._keys.recipe.evaluation.divergence:
            missing = [i for i, known in enumerate(self._known) if not known or not kept[i]]
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
            tokens = score_tokens(model, self._text.window(index), reference)
            self._keeper.keep(index, tokens)
            self._tokens[index] = tokens
            found = window_score(tokens)
            return replace(found, held=(held.take() or None) if held is not None else None)

        lacking = set(range(len(self._known))) - self._tokens.keys()
        scores, cached = complete_scores(
            self._keys, self._cache, "evaluate", self._known, score, progress, lacking
        )
        return scores, self._keeper.keep_pieces() and cached

    def statistics(self) -> TokenStatistics | None:
        """What the tokens say together; None without the float network beside them."""
        if not self._keys.recipe.evaluation.divergence:
            return None
        return token_statistics([self._tokens[index] for index in sorted(self._tokens)])
