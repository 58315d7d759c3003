"""The numbers of a Report with their intervals and definitions, from scored windows and tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore.evaluation.confidence import (
    Interval,
    compare_means,
    mean_interval,
    perplexity_interval,
)
from qcore.evaluation.perplexity import (
    WindowScore,
    agreement_definition,
    definition,
    divergence_definition,
)
from qcore.report.report import Metric

if TYPE_CHECKING:
    from qcore.evaluation.harness import TaskScore


def metrics(
    windows: Sequence[WindowScore],
    reference: Sequence[WindowScore],
    length: int,
    tasks: Sequence[TaskScore] = (),
) -> tuple[Metric, ...]:
    """The Report's numbers, with 95 % bootstrap intervals over windows.

    Args:
        windows: scores of the network that was asked for.
        reference: the float network's scores on the same windows.
        length: tokens in a window.
        tasks: zero-shot scores.
    """
    count = len(windows)
    tokens = sum(window.tokens for window in windows)
    losses = [window.loss for window in windows]
    quality = perplexity_interval(losses)
    found = [_metric("perplexity", quality, "", definition(count, length), tokens)]
    if windows is not reference:
        gap = compare_means([window.loss for window in reference], losses).difference
        sentence = (
            "mean loss minus the float network's on the same windows (paired); "
            "perplexity grows by exp of it"
        )
        found.append(_metric("loss_increase", gap, "nats/token", sentence, tokens))
    kl = [window.kl for window in windows if window.kl is not None]
    agreement = [window.agreement for window in windows if window.agreement is not None]
    if kl and agreement:
        sentence = divergence_definition(count, length)
        found.append(
            _metric("kl", mean_interval(kl, bounds=(0, math.inf)), "nats/token", sentence, tokens)
        )
        sentence = agreement_definition(count, length)
        found.append(
            _metric("top1_agreement", mean_interval(agreement, bounds=(0, 1)), "", sentence, tokens)
        )
    return (*found, *(metric for task in tasks for metric in _task_metrics(task)))


def _metric(name: str, interval: Interval, unit: str, sentence: str, count: int) -> Metric:
    return Metric(name, interval.value, unit, sentence, count, interval.low, interval.high)


def _task_metrics(score: TaskScore) -> list[Metric]:
    """Accuracy, and accuracy by log-likelihood per character where the task has it."""
    plain, norm = score.accuracy, score.accuracy_norm
    name, asked, sentence = f"accuracy/{score.task}", score.questions, score.definition
    found = [Metric(name, plain.value, "", sentence, asked, plain.low, plain.high)]
    if norm is not None:
        sentence = sentence.replace("log-likelihood", "log-likelihood per character")
        found.append(Metric(f"{name}/norm", norm.value, "", sentence, asked, norm.low, norm.high))
    return found
