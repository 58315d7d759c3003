"""What the Compare page says: letters for runs, metrics, knobs, values."""

from __future__ import annotations

from collections.abc import Sequence

from pages._ui import wording
from pages._ui.runs import fields
from qcore.explore.compare import Difference, LayerComparison
from qcore.recipe.axes import flatten
from qcore.recipe.titles import title_of
from qcore.report.metrics import is_share, metric_label
from qcore.report.report import Report

LETTERS = "ABCDEF"
"""A run's name on this page; the baseline is A."""

METRICS = {
    "loss": "Loss",
    "perplexity": "Perplexity",
    "kl": "KL to the float model",
    "tasks": "All tasks",
}


def metric_name(metric: str) -> str:
    """What people call a compared metric."""
    return METRICS.get(metric) or metric_label(metric)


def unit(difference: Difference) -> str:
    """The unit of a difference: percentage points where the metric is a share."""
    return "percentage points" if is_share(difference.metric) else difference.unit


def scaled(difference: Difference, value: float | None) -> float | None:
    """A number of the difference in its unit."""
    return None if value is None else value * (100 if is_share(difference.metric) else 1)


def signed(value: float | None) -> str:
    """`+0.0312`, `−1.40`, or a dash."""
    if value is None:
        return wording.significant(None)
    text = wording.significant(abs(value), 3)
    return text if value == 0 else f"{'+' if value > 0 else '−'}{text}"


def interval(difference: Difference) -> str:
    """`[−0.045, −0.018]`, or a dash."""
    gap = difference.gap
    if gap.low is None or gap.high is None:
        return wording.significant(None)
    low, high = (signed(scaled(difference, end)) for end in (gap.low, gap.high))
    return f"[{low}, {high}]"


def titles(reports: Sequence[Report]) -> list[str]:
    """Titles that tell the compared runs apart."""
    return fields.apart(
        [title_of(report.recipe) for report in reports],
        [flatten(report.recipe) for report in reports],
        [report.environment.model for report in reports],
    )


def windows_sentence(reports: Sequence[Report]) -> str:
    """On what the comparison stands: text, windows that all share, tokens."""
    counts = [len(report.window_losses) for report in reports]
    part = reports[0].recipe.evaluation
    shared = min(counts)
    more = "" if max(counts) == shared else ", the first that all of them share"
    return (
        f"{wording.count(shared, 'window')} of {part.length} tokens from {part.text}{more}; "
        "differences are taken window by window"
    )


def layers_sentence(rows: Sequence[LayerComparison], place: int) -> str:
    """Where a run loses most and gains most against the baseline, by output error."""
    ratios = [
        (other / base, row.name)
        for row in rows
        if (base := row.output_errors[0]) and (other := row.output_errors[place])
    ]
    if not ratios:
        return ""
    (least, best), (most, worst) = min(ratios), max(ratios)
    better = sum(ratio < 1 for ratio, _ in ratios)
    return (
        f"{LETTERS[place]}'s output error is lower than A's on {better} of {len(ratios)} layers: "
        f"{least:.2g} times A's at {best}, {most:.2g} times at {worst}."
    )
