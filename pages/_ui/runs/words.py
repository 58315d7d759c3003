"""Metrics of a run as people read them."""

from __future__ import annotations

from pages._ui import wording
from qcore.report.metrics import Axis, is_share
from qcore.report.report import Metric


def metric_value(metric: Metric) -> str:
    """The number with its unit: `34.23`, `0.0016 nats/token`, `97.4 %`."""
    if is_share(metric.name):
        return f"{100 * metric.value:.1f} %"
    return f"{wording.significant(metric.value)} {metric.unit}".strip()


def metric_interval(metric: Metric) -> str:
    """Its 95 % interval in the same unit, or a dash."""
    if is_share(metric.name) and metric.low is not None and metric.high is not None:
        return f"[{100 * metric.low:.1f}, {100 * metric.high:.1f}] %"
    return wording.interval(metric.low, metric.high)


_PAIRED = ("loss_increase", "kl", "top1_agreement")


def bars_label(score: Axis) -> str:
    """The same in a few words, for a legend."""
    return "95 % interval" + (" of the difference" if score.column in _PAIRED else "")


def bars(score: Axis) -> str:
    """What the error bars of a score mean, in a sentence."""
    if score.column in _PAIRED:
        return (
            "Bars are 95 % intervals of the difference from the float model on the same windows: "
            "what both find hard cancels."
        )
    return "Bars are 95 % intervals over the evaluation's text: they do not pair the runs."
