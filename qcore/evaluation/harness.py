"""Zero-shot tasks: lm-eval's questions, prompts and metrics, our passes.

Every task is multiple choice. For each question the answer with the highest log-likelihood is the
network's choice (`accuracy`); dividing each answer's log-likelihood by its length in characters
first gives `accuracy_norm`. Prompts, answers and metrics are lm-eval's (`questions`), the
log-likelihoods are computed by `choices`. A limit takes the first questions in their published
order: nothing is shuffled or drawn, so two runs always answer the same ones and can be paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qcore.errors import DataError
from qcore.evaluation.confidence import Proportion, proportion
from qcore.evaluation.logits import PASS_TOKENS
from qcore.evaluation.questions import SPLIT, lm_eval_version, load_questions, load_task, quiet
from qcore.progress import Progress, silent

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask


@dataclass(frozen=True, slots=True)
class TaskScore:
    """Scores of one task.

    Attributes:
        task: its name in lm-eval.
        accuracy: share of questions answered right; lm-eval's `acc`.
        accuracy_norm: the same by log-likelihood per character, lm-eval's `acc_norm`; None where
            the task defines none.
        questions: questions asked.
        available: questions there are.
        definition: one sentence that says what was asked of what, and how.
        right: for every question asked, in order, whether `accuracy` counts it.
        right_norm: the same for `accuracy_norm`; empty where there is none.
    """

    task: str
    accuracy: Proportion
    accuracy_norm: Proportion | None
    questions: int
    available: int
    definition: str
    right: tuple[bool, ...]
    right_norm: tuple[bool, ...]


def evaluate_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    limit: int | None = None,
    progress: Progress = silent,
    pass_tokens: int = PASS_TOKENS,
) -> list[TaskScore]:
    """Answer the first `limit` questions of every task, or all.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's own.
        tasks: names in lm-eval.
        limit: questions per task.
        progress: told (questions answered, questions in all, "TASK: 12 of 20 questions").
        pass_tokens: tokens that go through the network together.

    Raises:
        DataError: an unknown task, a limit below 1, or questions that cannot be had.
        NumericalError: a log-likelihood is not finite.
        UnsupportedModel: the model's attention takes no mask of our own.
    """
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} questions is none", remedy="ask for at least 1")
    # All questions are fetched before the first is asked: a missing task costs no evaluation.
    loaded = {task: load_questions(task) for task in tasks}
    asked = {task: min(limit or len(items), len(items)) for task, items in loaded.items()}
    total, before = sum(asked.values()), 0
    scores = []
    for task, items in loaded.items():
        count = asked[task]

        def told(done: int, _: int, message: str, task=task, before=before) -> None:
            progress(before + done, total, f"{task}: {message}")

        built = load_task(task, items.select(range(count)))
        results = _answer(model, tokenizer, built, count, told, pass_tokens)
        scores.append(_task_score(task, results, len(items)))
        before += count
    return scores


def _answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: ConfigurableTask,
    count: int,
    progress: Progress,
    pass_tokens: int,
) -> list[dict[str, Any]]:
    """lm-eval's metrics of every question: build the requests, answer them, judge the answers."""
    with quiet():
        # lm-eval takes long to import and not every recipe has tasks.
        from qcore.evaluation.choices import ChoiceModel

        task.build_all_requests(limit=count)
    requests = task.instances

    def told(done: int, total: int, message: str) -> None:
        answered = count if done == total else int(requests[done - 1].doc_id or 0)
        progress(answered, count, f"{answered} of {count} questions")

    answers = ChoiceModel(model, tokenizer, told, pass_tokens).loglikelihood(requests)
    for request, answer in zip(requests, answers, strict=True):
        request.resps.append(answer)
    with quiet():
        task.apply_filters()
        return [
            task.process_results(
                group[0].doc, [next(iter(r.filtered_resps.values())) for r in group]
            )
            for group in (list(part) for _, part in groupby(requests, key=lambda r: r.doc_id))
        ]


def _task_score(task: str, results: list[dict[str, Any]], available: int) -> TaskScore:
    right = tuple(bool(result["acc"]) for result in results)
    norm = tuple(bool(result["acc_norm"]) for result in results if "acc_norm" in result)
    return TaskScore(
        task,
        accuracy=proportion(sum(right), len(right)),
        accuracy_norm=proportion(sum(norm), len(norm)) if norm else None,
        questions=len(right),
        available=available,
        definition=_definition(task, len(right), available),
        right=right,
        right_norm=norm,
    )


def _definition(task: str, asked: int, available: int) -> str:
    which = f"all {available}" if asked == available else f"the first {asked} of {available}"
    return (
        f"share of {which} {SPLIT} questions of {task}, in published order, whose right answer "
        f"has the highest log-likelihood; prompts and metric of lm-eval {lm_eval_version()}, "
        "0-shot, no chat template"
    )
