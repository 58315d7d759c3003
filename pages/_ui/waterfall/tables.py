"""A waterfall as tables, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from pages._ui import wording
from pages._ui.compare import words
from qcore.evaluation.confidence import Interval
from qcore.explore.waterfall import (
    StepDifference,
    WaterfallNumbers,
    WaterfallStep,
    step_label,
)
from qcore.jobs.protocol import Job
from qcore.recipe.titles import title_of
from qcore.report.report import Report

MISSING = "missing"


def steps(
    found: WaterfallNumbers, report: Report, reports: Mapping[str, Report], jobs: Mapping[str, Job]
) -> pd.DataFrame:
    """Every step, added and left out, as text for people."""
    rows = [
        _row("added", step_label(item.step, report), item, reports, jobs) for item in found.added
    ]
    rows += [
        _row("left out", step_label(item.step, report, left_out=True), item, reports, jobs)
        for item in found.left_out
    ]
    return pd.DataFrame(rows)


def missing(
    steps: Sequence[WaterfallStep], seconds: Sequence[float | None], jobs: Mapping[str, Job]
) -> pd.DataFrame:
    """The recipes that nobody has run, what each takes after those above it, and how it stands."""
    padded = [*seconds, *[None] * (len(steps) - len(seconds))]
    rows = [
        {
            "Missing run": title_of(step.recipe),
            "Takes": wording.duration(time),
            "State": state(jobs.get(step.recipe.digest)),
        }
        for step, time in zip(steps, padded, strict=False)
    ]
    return pd.DataFrame(rows)


def state(job: Job | None) -> str:
    """How a missing run stands: `not asked yet`, `queued`, `running: 3 of 8 quantize`."""
    if job is None:
        return "not asked yet"
    if not job.state.ended:
        done = f": {job.stage} {job.done} of {job.total}" if job.total else ""
        return f"{job.state}{done}"
    return f"{job.state}: {job.message}" if job.message else str(job.state)


def _row(
    kind: str,
    label: str,
    item: StepDifference,
    reports: Mapping[str, Report],
    jobs: Mapping[str, Job],
) -> dict[str, str]:
    there = reports.get(item.run)
    return {
        "Technique": kind,
        "Step": label,
        "Value": wording.significant(item.value),
        "Difference": words.signed(item.gap.value) if item.gap else wording.significant(None),
        "95 % interval": interval(item.gap),
        "Says": verdict(item.gap),
        "Bits per weight": f"{there.volume.bits_per_weight:.3f}" if there else "–",
        "Run": item.run[:6] or _short(jobs.get(item.step.recipe.digest)),
    }


def _short(job: Job | None) -> str:
    return MISSING if job is None or job.state.ended else str(job.state)


def interval(gap: Interval | None) -> str:
    """`[−0.045, −0.018]`, or a dash."""
    if gap is None or gap.low is None or gap.high is None:
        return wording.significant(None)
    return f"[{words.signed(gap.low)}, {words.signed(gap.high)}]"


def verdict(gap: Interval | None) -> str:
    """Whether a difference is better, worse or open; a dash without one."""
    if gap is None:
        return wording.significant(None)
    if not gap.excludes_zero:
        return "open"
    return "better" if gap.value < 0 else "worse"
