"""The task stages: zero-shot questions, one stage and one record for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.store import Cache
from qcore.pipeline.keys import Keys
from qcore.pipeline.stages.evaluate import NetworkSource
from qcore.progress import Progress
from qcore.serialization import from_plain, to_plain

if TYPE_CHECKING:
    from qcore.evaluation.harness import TaskScore


def score_task(
    keys: Keys, cache: Cache, task: str, network: NetworkSource, progress: Progress
) -> tuple[TaskScore, bool]:
    """One task's scores, and whether the cache had them.

    Args:
        keys: of the recipe.
        cache: where scores are kept.
        task: one of the recipe's.
        network: the quantized one.
        progress: told of the questions.

    Raises:
        DataError: the task's questions cannot be read.
    """
    from qcore.evaluation.harness import TaskScore, evaluate_tasks  # slow to import

    key = keys.task(task)
    kept = cache.record(key)
    if kept is not None:
        return from_plain(TaskScore, kept, "task score"), True
    lent = network(progress)
    limit = keys.recipe.evaluation.limit
    (score,) = evaluate_tasks(lent.model, lent.tokenizer, [task], limit, progress)
    cache.put_record(key, to_plain(score))
    return score, False
