"""Every token's scores, kept beside the windows' own, and the text that they belong to.

They are what statistics over tokens and the token view read. Window scores are records, small and
dear, and Reports are made of them; these are arrays, which go first when the cache is full. So they
have keys of their own, and versions of their own: losing them, or keeping more, makes a window be
scored again, and changes no Report's id and no score that is known.
"""

from __future__ import annotations

from cache.store import Cache
from qcore.errors import CorruptEntry
from qcore.evaluation.tokens import TokenScores
from qcore.pipeline.keys import Keys
from qcore.pipeline.stage import PIECES, TOKENS
from qcore.pipeline.stages.windows import EvaluationText


class TokenKeeper:
    """Keeps the tokens of one stage, `evaluate` or `reference`.

    Args:
        keys: of the recipe.
        cache: where they are kept.
        stage: whose they are.
        text: what was scored.
    """

    def __init__(self, keys: Keys, cache: Cache, stage: str, text: EvaluationText):
        self._keys = keys
        self._cache = cache
        self._stage = stage
        self._text = text

    def kept(self, window: int) -> TokenScores | None:
        """One window's tokens, or None."""
        found = self._cache.artifact(self._key(window))
        try:
            return found and TokenScores.from_tensors(found.tensors)
        except CorruptEntry:
            return None

    def keep(self, window: int, tokens: TokenScores) -> None:
        """Keep one window's tokens."""
        self._cache.put_artifact(self._key(window), tokens.to_tensors())

    def keep_pieces(self) -> bool:
        """Keep what is missing of the text; returns whether nothing was."""
        keys = [
            self._keys.part("reference", PIECES, window)
            for window in range(self._keys.recipe.evaluation.windows)
        ]
        lacking = [window for window, key in enumerate(keys) if not self._cache.has(key)]
        for window in lacking:
            self._cache.put_record(keys[window], self._text.pieces(window))
        return not lacking

    def _key(self, window: int) -> str:
        return self._keys.part(self._stage, TOKENS, window)
