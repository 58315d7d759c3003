"""The reference, evaluate and task stages: windows and questions, each kept as soon as it is done.

A window's losses are a record of their own, so asking for more windows computes only the new ones.
The float network's final hidden states are kept per window; divergence is measured from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from cache.store import Cache
from qcore.calibration.text import windows
from qcore.evaluation.confidence import (
    Interval,
    compare_means,
    mean_interval,
    perplexity_interval,
)
from qcore.evaluation.divergence import Head, Reference
from qcore.evaluation.perplexity import (
    WindowScore,
    agreement_definition,
    definition,
    divergence_definition,
    score_reference,
    score_window,
    take_reference,
)
from qcore.models.loading import Network
from qcore.pipeline.keys import Keys
from qcore.pipeline.session import Workbench
from qcore.progress import Progress, silent
from qcore.report.report import Metric
from qcore.serialization import from_plain, to_plain

if TYPE_CHECKING:
    from qcore.evaluation.harness import TaskScore

NetworkSource = Callable[[Progress], Network]
"""Gives the network to measure; called only when something is missing."""


class Meter:
    """Scores what is missing of one recipe's evaluation."""

    def __init__(self, keys: Keys, cache: Cache, bench: Workbench):
        self._keys = keys
        self._evaluation = keys.recipe.evaluation
        self._cache = cache
        self._bench = bench
        self._tokens: Int[Tensor, "windows length"] | None = None
        self._known: list[WindowScore | None] = []
        self._references: dict[int, Reference] = {}

    def reference_windows(self, progress: Progress) -> tuple[list[WindowScore], bool]:
        """The float network's scores, and whether the cache had them all.

        Where divergence will be measured, the reference is taken now: later the network is changed.
        """
        kept = self._kept("reference")
        scores, cached = self._complete("reference", kept, self._score_float, progress)
        self._known = [] if self._keys.is_float else self._kept("evaluate")
        if self._evaluation.divergence:
            missing = [index for index, known in enumerate(self._known) if known is None]
            self._references = {index: self._reference(index) for index in missing}
        else:  # the kept scores have it, but nobody asked
            scores = [dataclasses.replace(score, kl=None, agreement=None) for score in scores]
        return scores, cached

    def windows(self, network: NetworkSource, progress: Progress) -> tuple[list[WindowScore], bool]:
        """The quantized network's scores, and whether the cache had them all."""

        def score(index: int) -> WindowScore:
            model = network(progress).model
            reference = self._references.get(index)
            if reference is not None:
                reference = reference.to(model.device)
            return score_window(model, self._window(index), reference)

        return self._complete("evaluate", self._known, score, progress)

    def task(self, task: str, network: NetworkSource, progress: Progress) -> tuple[TaskScore, bool]:
        """One zero-shot task's scores, and whether the cache had them."""
        from qcore.evaluation.harness import TaskScore, evaluate_tasks  # slow to import

        key = self._keys.task(task)
        kept = self._cache.record(key)
        if kept is not None:
            return from_plain(TaskScore, kept, "task score"), True
        lent = network(progress)
        (score,) = evaluate_tasks(
            lent.model, lent.tokenizer, [task], self._evaluation.limit, progress
        )
        self._cache.put_record(key, to_plain(score))
        return score, False

    def _kept(self, stage: str) -> list[WindowScore | None]:
        """Every window's score, None where it is missing; the cache is asked once."""
        keys = [self._keys.window(stage, index) for index in range(self._evaluation.windows)]
        records = [self._cache.record(key) for key in keys]
        return [item and from_plain(WindowScore, item, "window score") for item in records]

    def _complete(
        self,
        stage: str,
        kept: Sequence[WindowScore | None],
        score: Callable[[int], WindowScore],
        progress: Progress,
    ) -> tuple[list[WindowScore], bool]:
        """All scores, the missing ones made and kept, and whether none was missing."""
        found = []
        for index, known in enumerate(kept):
            if known is None:
                progress(index, len(kept), f"window {index + 1} of {len(kept)}")
                known = score(index)
                self._cache.put_record(self._keys.window(stage, index), to_plain(known))
            found.append(known)
        return found, None not in kept

    def _score_float(self, index: int) -> WindowScore:
        (score,) = score_reference(self._reference(index), self._window(index)[None])
        return score

    def _reference(self, index: int) -> Reference:
        """The float network's hidden states of one window, with its head."""
        key = self._keys.hidden(index)
        model = self._bench.network(self._keys, silent).model
        kept = self._cache.artifact(key)
        if kept is None:
            taken = take_reference(model, self._window(index)[None])
            self._cache.put_artifact(key, taken.to_tensors(with_head=False))
            return taken
        head = model.get_output_embeddings()
        bias = getattr(head, "bias", None)
        return Reference.from_tensors(kept.tensors, Head(head.weight.detach(), bias))

    def _window(self, index: int) -> Int[Tensor, " length"]:
        if self._tokens is None:
            part = self._evaluation
            lent = self._bench.network(self._keys, silent)
            asked = part.text, part.windows, part.length
            self._tokens = windows(lent.tokenizer, *asked, lent.words)
        return self._tokens[index]


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
