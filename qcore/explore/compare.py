"""Why is B better than A, and how sure is that? Runs against a baseline, window by window.

Everything is paired. Text that is hard for one network is hard for the other, and this common part,
most of the spread, cancels in the difference: two perplexities whose intervals overlap widely may
be told apart by every single window. Intervals are those of `qcore.evaluation.confidence`
(bootstrap over windows, stretched for few of them). Zero-shot accuracies are not paired: a Report
keeps the share of right answers alone, so theirs is Newcombe's interval of two Wilson shares.

Runs can be compared when they were scored on the same text, cut the same way, from the same
network. A run that was scored on more windows takes part with those that all have: windows are
taken from the start of a text, so the first ones are the same.

An open verdict says how many windows would settle it if the difference stayed what it is: the
interval shrinks with 1/√n, so n·(half width / |difference|)² windows are enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qcore.errors import InvalidRecipe
from qcore.evaluation.confidence import Interval, compare_means, compare_perplexities
from qcore.recipe import Recipe
from qcore.report.report import Metric, Report
from qcore.serialization import to_plain

MOST_RUNS = 6
"""A baseline and five others: what a figure can show and a reader can hold."""

_UNTOLD = ("evaluation",)
"""Knobs that a comparison must share; they are checked, not listed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of a run against the baseline's.

    Attributes:
        metric: `perplexity`, `loss`, `kl` or `accuracy/TASK`; of networks that predict suffixes
            `similarity` and `identical` in place of perplexity.
        unit: of the difference.
        higher_is_better: which way is better.
        base: the baseline's value on the shared windows.
        value: the run's.
        gap: value − base, with its 95 % interval.
        paired: whether the interval is of differences, window by window.
        count: windows, or questions.
    """

    metric: str
    unit: str
    higher_is_better: bool
    base: float
    value: float
    gap: Interval
    paired: bool
    count: int

    @property
    def better(self) -> bool | None:
        """Whether the run is better than the baseline; None where that is open."""
        if not self.gap.excludes_zero:
            return None
        return (self.gap.value > 0) == self.higher_is_better


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A run against the baseline.

    Attributes:
        run: the run's id.
        base: the baseline's id.
        differences: every metric that both have, losses first.
        verdict: one sentence on the loss.
        needed: windows that would settle an open verdict; None where it is settled or cannot be
            told.
    """

    run: str
    base: str
    differences: tuple[Difference, ...]
    verdict: str
    needed: int | None


def compare(reports: Sequence[Report], base: str | None = None) -> list[RunComparison]:
    """Compare runs with a baseline.

    Args:
        reports: two to `MOST_RUNS` runs.
        base: the baseline's id; the first run by default.

    Raises:
        InvalidRecipe: too few or too many runs, the same one twice, a baseline that is none of
            them, or runs that were not scored on the same text from the same network.
    """
    check_number([report.id for report in reports])
    by_id = {report.id: report for report in reports}
    first = reports[0].id if base is None else base
    if first not in by_id:
        raise InvalidRecipe(
            f"the baseline {first[:40]!r} is none of the compared runs",
            remedy=f"choose one of {', '.join(by_id)}",
        )
    for report in reports:
        reason = why_not(by_id[first], report)
        if reason:
            raise InvalidRecipe(
                f"{report.id} cannot be compared with {first}: {reason}",
                remedy="evaluate both on the same text, window length and model",
            )
    return [_against(by_id[first], report) for report in reports if report.id != first]


def check_number(runs: Sequence[str]) -> None:
    """Refuse fewer than two runs, more than `MOST_RUNS`, or one run twice.

    Raises:
        InvalidRecipe: says which.
    """
    if len(set(runs)) != len(runs):
        twice = next(run for run in runs if list(runs).count(run) > 1)
        raise InvalidRecipe(f"run {twice[:40]} stands twice", remedy="name each run once")
    if not 2 <= len(runs) <= MOST_RUNS:
        raise InvalidRecipe(
            f"{len(runs)} run{'s' if len(runs) != 1 else ''} cannot be compared",
            remedy=f"choose a baseline and 1 to {MOST_RUNS - 1} others",
        )


def why_not(a: Report, b: Report) -> str:
    """Why two runs were not scored on the same tokens; empty where they were."""
    one, other = a.recipe.evaluation, b.recipe.evaluation
    if a.environment.model_digest != b.environment.model_digest:
        return f"they are of different networks, {a.environment.model} and {b.environment.model}"
    if _text(a) != _text(b):
        return f"they were scored on different texts, {one.text} and {other.text}"
    if a.suffix is not None and b.suffix is not None and a.suffix.prefixes != b.suffix.prefixes:
        return f"they answered {a.suffix.prefixes:,} and {b.suffix.prefixes:,} prefixes"
    if one.length != other.length:
        return f"their windows have {one.length} and {other.length} tokens"
    return ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run that was not scored on the baseline's tokens.

    Attributes:
        run: its id.
        reason: why, as the middle of a sentence.
        missing: recipes to run so that there is a pair; none where no run could make one.
    """

    run: str
    reason: str
    missing: tuple[Recipe, ...]


def separate(reports: Sequence[Report]) -> tuple[list[Report], list[Refusal]]:
    """Part runs into those that can be compared with the first, itself among them, and the rest."""
    base, *others = reports
    kept, refused = [base], []
    for report in others:
        reason = why_not(base, report)
        if reason:
            refused.append(Refusal(report.id, reason, _missing(base, report)))
        else:
            kept.append(report)
    return kept, refused


def _missing(base: Report, report: Report) -> tuple[Recipe, ...]:
    """The run's recipe on the baseline's evaluation, and the baseline's where its text changed."""
    if base.environment.model_digest != report.environment.model_digest:
        return ()
    asked = base.recipe.evaluation
    alike = replace(report.recipe, evaluation=asked)
    # One name, two contents: the file was written to between the runs, so both are measured anew.
    changed = asked.text == report.recipe.evaluation.text and _text(base) != _text(report)
    return (base.recipe, alike) if changed else (alike,)


def lacking_tasks(base: Report, report: Report) -> list[str]:
    """Tasks that the baseline answered and the run did not."""
    own = {metric.name for metric in report.metrics}
    asked = [metric.name for metric in base.metrics if metric.name.startswith("accuracy/")]
    return [name.split("/")[1] for name in asked if name.count("/") == 1 and name not in own]


def _text(report: Report) -> str:
    return report.environment.data.get("evaluation text", report.recipe.evaluation.text)


def differing_knobs(reports: Sequence[Report]) -> dict[str, list[Any]]:
    """The recipe paths at which runs differ, with each run's value; None where a part is absent.

    The evaluation is left out: comparable runs share what matters of it.
    """
    flat = [_flat(to_plain(report.recipe)) for report in reports]
    paths = dict.fromkeys(path for one in flat for path in one)
    values = {path: [one.get(path) for one in flat] for path in paths}
    return {
        path: row
        for path, row in values.items()
        if path.split(".")[0] not in _UNTOLD and any(value != row[0] for value in row)
    }


def _flat(part: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in part.items():
        path = f"{above}{name}"
        found |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One linear in every run.

    Attributes:
        name: decoder block and path.
        formats: each run's; empty where the run left the layer in float.
        weight_errors: each run's ‖W − Ŵ‖² / ‖W‖²; None likewise.
        output_errors: each run's ‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖²; None without a capture.
    """

    name: str
    formats: tuple[str, ...]
    weight_errors: tuple[float | None, ...]
    output_errors: tuple[float | None, ...]


def layers(reports: Sequence[Report]) -> list[LayerComparison]:
    """Every layer that any of the runs quantized, in the network's order."""
    rows = [{layer.name: layer for layer in report.layers} for report in reports]
    names = {layer.name: layer.block for report in reports for layer in report.layers}
    found = []
    for name in sorted(names, key=lambda name: names[name]):
        here = [row.get(name) for row in rows]
        found.append(
            LayerComparison(
                name,
                tuple(layer.format if layer else "" for layer in here),
                tuple(layer.weight_error if layer else None for layer in here),
                tuple(layer.output_error if layer else None for layer in here),
            )
        )
    return found


def _against(base: Report, run: Report) -> RunComparison:
    differences = []
    count = min(len(base.window_losses), len(run.window_losses))
    first, second = base.window_losses[:count], run.window_losses[:count]
    loss = None
    if count:
        gap = compare_means(first, second).difference
        means = (math.fsum(first) / count, math.fsum(second) / count)
        loss = Difference("loss", "nats/token", False, *means, gap, True, count)
        differences.append(loss)
        differences += _suffixes(base, run) or [_perplexities(first, second)]
    shared = min(count, len(base.window_divergences), len(run.window_divergences))
    if shared:
        kl, other = base.window_divergences[:shared], run.window_divergences[:shared]
        means = (math.fsum(kl) / shared, math.fsum(other) / shared)
        gap = compare_means(kl, other).difference
        differences.append(Difference("kl", "nats/token", False, *means, gap, True, shared))
    differences += _accuracies(base, run)
    needed = None if loss is None else windows_needed(loss.gap)
    return RunComparison(run.id, base.id, tuple(differences), _verdict(loss, needed), needed)


def _perplexities(first: Sequence[float], second: Sequence[float]) -> Difference:
    gap = compare_perplexities(first, second).difference
    before, after = (math.exp(math.fsum(losses) / len(losses)) for losses in (first, second))
    return Difference("perplexity", "", False, before, after, gap, True, len(first))


def _suffixes(base: Report, run: Report) -> list[Difference]:
    """Similarity and identical suffixes, case by case; none for language models."""
    if base.suffix is None or run.suffix is None:
        return []
    pairs = {
        "similarity": (base.suffix.similarities, run.suffix.similarities),
        "identical": (base.suffix.identical, run.suffix.identical),
    }
    found = []
    for metric, (first, second) in pairs.items():
        gap = compare_means(first, second).difference
        means = (math.fsum(first) / len(first), math.fsum(second) / len(second))
        found.append(Difference(metric, "", True, *means, gap, True, len(first)))
    return found


def _accuracies(base: Report, run: Report) -> list[Difference]:
    found = []
    for metric in base.metrics:
        other = run.metric(metric.name)
        if metric.name.startswith("accuracy/") and other is not None:
            gap = Interval(other.value - metric.value, *_newcombe(metric, other), other.count)
            found.append(
                Difference(
                    metric.name, "", True, metric.value, other.value, gap, False, other.count
                )
            )
    return found


def _newcombe(a: Metric, b: Metric) -> tuple[float | None, float | None]:
    """Interval of the difference b − a of two shares with Wilson intervals (Newcombe 1998, 10)."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None, None
    gap = b.value - a.value
    down = math.hypot(b.value - b.low, a.high - a.value)
    up = math.hypot(b.high - b.value, a.value - a.low)
    return gap - down, gap + up


def windows_needed(gap: Interval) -> int | None:
    """How many windows would keep zero out of the interval if the difference stayed as it is.

    Returns:
        None where zero is out already, where one window leaves no interval, or where the
        difference is zero.
    """
    if gap.low is None or gap.high is None or gap.excludes_zero or gap.value == 0:
        return None
    half = gap.value - gap.low if gap.value > 0 else gap.high - gap.value
    return max(gap.count + 1, math.ceil(gap.count * (half / abs(gap.value)) ** 2))


_MANY = 10_000


def _verdict(loss: Difference | None, needed: int | None) -> str:
    """Say in one sentence who is better and by how much, or what would settle it."""
    if loss is None:
        return "No window of text was scored, so nothing can be said."
    gap = loss.gap
    if gap.low is None or gap.high is None:
        word = "lower" if gap.value < 0 else "higher"
        return f"Loss {word} by {abs(gap.value):.2g} nats per token on one window: no interval."
    if loss.better is not None:
        low, high = sorted((abs(gap.low), abs(gap.high)))
        size = _alike(abs(gap.value), low, high)
        word = "Better" if loss.better else "Worse"
        return f"{word} by {size[0]} [{size[1]}, {size[2]}] nats per token."
    said = f"Cannot be told from the baseline on {loss.count} windows"
    if needed is None:
        return f"{said}."
    if needed > _MANY:
        return f"{said}; more than {_MANY:,} would be needed."
    return f"{said}; about {needed} would do if the difference stays {gap.value:+.2g}."


def _alike(*values: float) -> list[str]:
    """Numbers with as many decimals as two digits of the smallest ask for, at most six."""
    least = min((value for value in values if value > 0), default=1.0)
    decimals = min(6, max(0, 1 - math.floor(math.log10(least)))) if least < 10 else 0
    return [f"{value:.{decimals}f}" for value in values]
