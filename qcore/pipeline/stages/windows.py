"""Scores by evaluation window, each a record of its own: asking for more computes only the new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from jaxtyping import Int
from torch import Tensor

from cache.store import Cache
from qcore.calibration.text import windows
from qcore.evaluation.perplexity import WindowScore
from qcore.evaluation.pieces import token_pieces
from qcore.pipeline.keys import Keys
from qcore.pipeline.session import Session
from qcore.progress import Progress, silent
from qcore.serialization import from_plain, to_plain


class EvaluationText:
    """The windows of a recipe's evaluation text, cut when one is first asked for."""

    def __init__(self, keys: Keys, session: Session):
        self._keys = keys
        self._session = session
        self._tokens: Int[Tensor, "windows length"] | None = None

    def window(self, index: int) -> Int[Tensor, " length"]:
        """One window's tokens."""
        if self._tokens is None:
            part = self._keys.recipe.evaluation
            network = self._session.network(self._keys, silent)
            asked = part.text, part.windows, part.length
            self._tokens = windows(network.tokenizer, *asked, network.words)
        return self._tokens[index]

    def pieces(self, index: int) -> list[str]:
        """One window's text, token by token."""
        tokenizer = self._session.network(self._keys, silent).tokenizer
        return token_pieces(tokenizer, self.window(index).tolist())


def kept_scores(keys: Keys, cache: Cache, stage: str) -> list[WindowScore | None]:
    """Every window's score in a stage, None where it is missing; the cache is asked once."""
    entries = [keys.window(stage, index) for index in range(keys.recipe.evaluation.windows)]
    records = [cache.record(key) for key in entries]
    return [item and from_plain(WindowScore, item, "window score") for item in records]


def complete_scores(
    keys: Keys,
    cache: Cache,
    stage: str,
    kept: Sequence[WindowScore | None],
    score: Callable[[int], WindowScore],
    progress: Progress,
    lacking: Collection[int] = (),
) -> tuple[list[WindowScore], bool]:
    """All scores of a stage, and whether none was missing; each is kept as soon as it is made.

    A score that is known stays what it is, even where its window is scored again.

    Args:
        keys: of the recipe.
        cache: where scores are kept.
        stage: whose they are.
        kept: those that are known.
        score: makes a missing one.
        progress: told of each.
        lacking: windows to score again for what is kept beside their scores.
    """
    found = []
    for index, known in enumerate(kept):
        if known is None or index in lacking:
            progress(index, len(kept), f"window {index + 1} of {len(kept)}")
            made = score(index)
            if known is None:
                cache.put_record(keys.window(stage, index), to_plain(made))
                known = made
        found.append(known)
    return found, None not in kept and not lacking
