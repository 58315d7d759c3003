"""What each technique of a run is worth: a waterfall from its plain recipe to the run itself.

From round-to-nearest in the plain basis one technique after the other is added, in the order in
which they act on a network (`qcore.recipe.techniques`), up to the run; and from the run one at a
time is left out. The two need not agree: what a technique brings depends on what is there before
it. One that brings much as the first step and whose absence the whole run does not miss, does the
work of another.

A step is a recipe, and any finished run of the same essence stands for it, scored on the same
tokens: steps of several waterfalls, and runs that somebody asked for long before, are shared. A
technique that cannot stand without another comes and goes with it, and the step names both.

Differences are paired, window by window, with the intervals of `qcore.evaluation.confidence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qcore.errors import InvalidRecipe
from qcore.evaluation.confidence import Interval, compare_means
from qcore.explore.compare import why_not
from qcore.recipe import Recipe
from qcore.recipe.techniques import TECHNIQUES, essence, techniques_of, with_only
from qcore.recipe.titles import technique_label
from qcore.report.report import Report
from qcore.report.summary import Summary

METRICS = ("loss", "kl")
"""What a waterfall can be of: both are means over windows, in nats per token."""


@dataclass(frozen=True, slots=True)
class WaterfallStep:
    """One recipe of a waterfall.

    Attributes:
        techniques: what it adds to the step before, or leaves out of the run; none for the plain
            recipe.
        recipe: to be run where no finished run stands for it.
        essence: digest of what decides its losses; equal ones share a run.
    """

    techniques: tuple[str, ...]
    recipe: Recipe
    essence: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The steps of one run.

    Attributes:
        run: its id.
        added: from the plain recipe to the run itself, at least two.
        left_out: the run without each of its techniques.
    """

    run: str
    added: tuple[WaterfallStep, ...]
    left_out: tuple[WaterfallStep, ...]

    @property
    def steps(self) -> tuple[WaterfallStep, ...]:
        """All steps, each essence once, in the order in which missing ones are to be run."""
        first: dict[str, WaterfallStep] = {}
        for step in (*self.added, *self.left_out):
            first.setdefault(step.essence, step)
        return tuple(first.values())

    def missing(self, runs: Mapping[str, str]) -> tuple[WaterfallStep, ...]:
        """The steps for which no run stands.

        Args:
            runs: essence → run id, as `stand_ins` finds them.
        """
        return tuple(step for step in self.steps if step.essence not in runs)


def waterfall_of(report: Report) -> Waterfall:
    """The steps of a run.

    Raises:
        InvalidRecipe: the run is the float network, or has no technique to look at.
    """
    recipe = report.recipe
    if recipe.weights is None and recipe.activations is None:
        raise InvalidRecipe(
            f"run {report.id} is the float network: nothing in it was rounded",
            remedy="choose a quantized run",
        )
    names = techniques_of(recipe)
    if not names:
        raise InvalidRecipe(
            f"run {report.id} is round-to-nearest in the plain basis already, with no technique "
            "to look at",
            remedy=f"choose a run with any of: {', '.join(TECHNIQUES)}",
        )
    asked = replace(recipe, evaluation=replace(recipe.evaluation, tasks=()))
    added = [_step((), with_only(asked, ()))]
    for count, name in enumerate(names, start=1):
        added.append(_step((name,), with_only(asked, names[:count])))
    added[-1] = WaterfallStep(added[-1].techniques, recipe, essence(recipe).digest)
    left_out = []
    for name in names:
        rest = with_only(asked, [other for other in names if other != name])
        there = techniques_of(rest)
        gone = (name, *(other for other in names if other != name and other not in there))
        left_out.append(_step(gone, rest))
    return Waterfall(report.id, tuple(added), tuple(left_out))


def step_label(step: WaterfallStep, report: Report, *, left_out: bool = False) -> str:
    """`+ MassDiff`, `− R1 R2 R4 b32, MassDiff`; of the plain recipe `Round to nearest`."""
    if not step.techniques:
        return "round to nearest" if report.recipe.weights else "rounded inputs"
    named = [technique_label(name, report.recipe) for name in step.techniques]
    return f"{'−' if left_out else '+'} {', '.join(named)}"


def _step(techniques: tuple[str, ...], recipe: Recipe) -> WaterfallStep:
    return WaterfallStep(techniques, recipe, essence(recipe).digest)


def stand_ins(waterfall: Waterfall, report: Report, runs: Iterable[Summary]) -> dict[str, str]:
    """The finished run that stands for each step, by the step's essence.

    Args:
        waterfall: of the run.
        report: the run, whose tokens all others must have been scored on.
        runs: to choose from; the first that fits is taken.
    """
    wanted = {step.essence for step in waterfall.steps}
    found = {essence(report.recipe).digest: report.id}
    windows = report.recipe.evaluation.windows
    for run in _alike(report, runs):
        other = run.recipe.evaluation
        if _contents(run) == _contents_of(report) and other.windows >= windows:
            cut = replace(run.recipe, evaluation=replace(other, windows=windows))
            key = essence(cut).digest
            if key in wanted:
                found.setdefault(key, run.id)
    return found


def was_changed(waterfall: Waterfall, report: Report, runs: Iterable[Summary]) -> bool:
    """Whether newer runs of the steps read other contents of the same text, or model files.

    Then what is missing can only be had together with the run itself, measured again.
    """
    wanted = {step.essence for step in waterfall.steps}
    return any(
        run.created > report.created
        and _contents(run) != _contents_of(report)
        and essence(run.recipe).digest in wanted
        for run in _alike(report, runs)
    )


def _alike(report: Report, runs: Iterable[Summary]) -> Iterator[Summary]:
    """The runs that may be steps: of the same network and formats, on a text of the same name."""
    wanted = _outline(report.recipe)
    return (run for run in runs if _outline(run.recipe) == wanted)


def _outline(recipe: Recipe) -> tuple[object, ...]:
    parts = (recipe.weights, recipe.activations)
    formats = tuple(part and (part.format, part.group) for part in parts)
    return (recipe.model, recipe.evaluation.text, recipe.evaluation.length, *formats)


def _contents(run: Summary) -> tuple[str, str]:
    return run.model_digest, run.text_digest


def _contents_of(report: Report) -> tuple[str, str]:
    where = report.environment
    return where.model_digest, where.data.get("evaluation text", "")


@dataclass(frozen=True, slots=True)
class StepDifference:
    """What a step is worth.

    Attributes:
        step: the step.
        run: id of the run that stands for it; empty where it is missing.
        value: the metric's mean over the windows that all runs share; None where it is missing.
        gap: of an added step, its value − that of the step before; of a left out one, its value −
            that of the whole run. Below zero is better. None where either run is missing, and for
            the plain recipe.
    """

    step: WaterfallStep
    run: str
    value: float | None
    gap: Interval | None


@dataclass(frozen=True, slots=True)
class WaterfallNumbers:
    """A waterfall of one metric.

    Attributes:
        metric: one of `METRICS`; nats per token.
        added: a difference a step, the plain recipe's first.
        left_out: a difference a technique.
        whole: the run − its plain recipe; None while that is missing.
        windows: that all runs share.
    """

    metric: str
    added: tuple[StepDifference, ...]
    left_out: tuple[StepDifference, ...]
    whole: Interval | None
    windows: int


def metrics_of(report: Report) -> list[str]:
    """The metrics that a run has in windows."""
    return [name for name in METRICS if _scores(report, name)]


def measure(
    waterfall: Waterfall,
    runs: Mapping[str, str],
    reports: Mapping[str, Report],
    metric: str = "loss",
) -> WaterfallNumbers:
    """What each step is worth, as far as its runs are there.

    Args:
        waterfall: of the run.
        runs: essence → run id.
        reports: run id → Report; one that is not there counts as missing.
        metric: one of `METRICS`.

    Raises:
        InvalidRecipe: runs were not scored on the same tokens, or the metric is none.
    """
    if metric not in METRICS:
        raise InvalidRecipe(
            f"a waterfall has no metric {metric!r}", remedy=f"choose {' or '.join(METRICS)}"
        )
    there = {
        step.essence: reports[runs[step.essence]]
        for step in waterfall.steps
        if runs.get(step.essence) in reports
    }
    whole = reports[waterfall.run]
    for other in there.values():
        reason = why_not(whole, other)
        if reason:
            raise InvalidRecipe(
                f"{other.id} is no step of {whole.id}: {reason}",
                remedy="measure both again, on the same contents",
            )
    scores = {key: found for key, run in there.items() if (found := _scores(run, metric))}
    windows = min(map(len, scores.values()), default=0)
    shared = {key: found[:windows] for key, found in scores.items()}

    def difference(step: WaterfallStep, against: WaterfallStep | None) -> StepDifference:
        own = shared.get(step.essence)
        before = shared.get(against.essence) if against else None
        return StepDifference(
            step,
            there[step.essence].id if step.essence in there else "",
            math.fsum(own) / windows if own else None,
            compare_means(before, own).difference if own and before else None,
        )

    plain, *_, last = waterfall.added
    steps = zip(waterfall.added, (None, *waterfall.added), strict=False)
    return WaterfallNumbers(
        metric,
        tuple(difference(step, before) for step, before in steps),
        tuple(difference(step, last) for step in waterfall.left_out),
        difference(last, plain).gap,
        windows,
    )


def _scores(report: Report, metric: str) -> Sequence[float]:
    return report.window_losses if metric == "loss" else report.window_divergences
