"""The reference stage: the float network on the evaluation text, window by window.

Its final hidden states are kept beside each window's score: divergence is measured from them.
"""

from __future__ import annotations

import dataclasses

from cache.store import Cache
from qcore.evaluation.divergence import Reference
from qcore.evaluation.perplexity import (
    WindowScore,
    score_reference_tokens,
    take_reference,
    window_score,
)
from qcore.numerics.head import head_of
from qcore.pipeline.keys import Keys
from qcore.pipeline.session import Session
from qcore.pipeline.stage import stage_of
from qcore.pipeline.stages.tokens import TokenKeeper
from qcore.pipeline.stages.windows import EvaluationText, complete_scores, kept_scores
from qcore.progress import Progress, silent


class Referee:
    """Scores the float network, and hands out what others are compared with."""

    def __init__(self, keys: Keys, cache: Cache, session: Session, text: EvaluationText):
        self._keys = keys
        self._cache = cache
        self._session = session
        self._text = text
        self._keeper = TokenKeeper(keys, cache, "reference", text)

    def scores(self, progress: Progress) -> tuple[list[WindowScore], bool]:
        """The float network's scores, and whether the cache had them all."""
        kept = kept_scores(self._keys, self._cache, "reference")
        lacking, row = set(), stage_of(self._keys.recipe, "reference")[0]
        alone = bool(row.beside(self._keys.recipe))  # the run is the float network's own
        if alone:
            lacking = {index for index in range(len(kept)) if self._keeper.kept(index) is None}
        scores, cached = complete_scores(
            self._keys, self._cache, "reference", kept, self._score, progress, lacking
        )
        if alone:
            cached = self._keeper.keep_pieces() and cached
        if not self._keys.recipe.evaluation.divergence:  # the kept ones have it, unasked
            scores = [dataclasses.replace(score, kl=None, agreement=None) for score in scores]
        return scores, cached

    def hidden(self, index: int) -> Reference:
        """The float network's hidden states in one window, with its head.

        The network must be as it was loaded.
        """
        key = self._keys.hidden(index)
        model = self._session.network(self._keys, silent).model
        kept = self._cache.artifact(key)
        if kept is None:
            taken = take_reference(model, self._text.window(index)[None])
            self._cache.put_artifact(key, taken.to_tensors(with_head=False))
            return taken
        return Reference.from_tensors(kept.tensors, head_of(model))

    def _score(self, index: int) -> WindowScore:
        tokens = score_reference_tokens(self.hidden(index), self._text.window(index))
        self._keeper.keep(index, tokens)
        return dataclasses.replace(window_score(tokens), kl=0.0, agreement=1.0)
