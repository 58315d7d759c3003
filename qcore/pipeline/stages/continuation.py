"""The continuation stage: a prompt continued by the recipe's network. Asked for by name alone."""

from __future__ import annotations

from cache.store import Cache
from qcore.evaluation.continuation import continue_greedily
from qcore.pipeline.keys import Keys
from qcore.pipeline.stage import CONTINUED_TOKENS, stage_of
from qcore.pipeline.stages.evaluate import NetworkSource
from qcore.progress import Progress
from qcore.serialization import to_plain


def continue_prompt(
    keys: Keys, cache: Cache, stage: str, network: NetworkSource, progress: Progress
) -> bool:
    """Keep the continuation of the prompt in a stage's name; returns whether it was there."""
    key = keys.key(stage)
    if cache.record(key) is not None:
        return True
    _, prompt = stage_of(keys.recipe, stage)
    lent = network(progress)
    made = continue_greedily(lent.model, lent.tokenizer, prompt, CONTINUED_TOKENS, progress)
    cache.put_record(key, to_plain(made))
    return False
