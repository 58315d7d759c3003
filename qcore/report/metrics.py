"""Metrics: their names, labels, units, and which direction is better.

A metric is `perplexity`, `loss_increase`, `kl`, `top1_agreement`, or `accuracy/TASK`; of networks
that predict suffixes also `similarity`, `identical`, `exact` and `cross_entropy`. What a run
stores beside one (its interval, its count) is called `METRIC/low`, `METRIC/high`, `METRIC/count`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_TASK = "accuracy/"


@dataclass(frozen=True, slots=True)
class Axis:
    """A number that can be plotted.

    Attributes:
        column: its column; the interval stands in `column/low` and `column/high`.
        label: with its unit.
        higher_is_better: which way the front looks.
        logarithmic: whether equal ratios, not differences, matter.
    """

    column: str
    label: str
    higher_is_better: bool = False
    logarithmic: bool = False


SIZES = {
    "bits": Axis("bits", "bits per quantized weight, scales included"),
    "bytes": Axis("bytes", "model size (bytes), float parts included"),
}

QUALITIES = {
    "perplexity": Axis("perplexity", "perplexity", logarithmic=True),
    "loss_increase": Axis("loss_increase", "loss increase over the float model (nats/token)"),
    "kl": Axis("kl", "KL to the float model (nats/token)", logarithmic=True),
    "top1_agreement": Axis("top1_agreement", "top-1 agreement with the float model", True),
    "similarity": Axis("similarity", "similarity to the true suffix", True),
    "identical": Axis("identical", "suffixes identical to the float network's", True),
    "exact": Axis("exact", "suffixes predicted without an error", True),
    "cross_entropy": Axis("cross_entropy", "cross-entropy (nats/event)"),
}
"""Of text and of suffixes, in the order in which they are offered; tasks follow."""

_LABELS = {
    "perplexity": "Perplexity",
    "loss_increase": "Loss increase",
    "kl": "KL divergence",
    "top1_agreement": "Top-1 agreement",
    "similarity": "Similarity",
    "identical": "Identical suffixes",
    "exact": "Exact suffixes",
    "cross_entropy": "Cross-entropy",
    "accuracy/arc_easy": "ARC-easy",
    "accuracy/arc_challenge": "ARC-challenge",
    "accuracy/piqa": "PIQA",
    "accuracy/hellaswag": "HellaSwag",
    "accuracy/winogrande": "WinoGrande",
}


def is_metric(name: str) -> bool:
    """Whether a column is a metric's value: `kl`, `accuracy/piqa`, and not `kl/low`."""
    return name in QUALITIES or (name.startswith(_TASK) and name.count("/") == 1)


def known(names: Iterable[str]) -> list[str]:
    """The metrics among these names, each once: those of text in order, then tasks by name."""
    found = {name for name in names if is_metric(name)}
    return [name for name in QUALITIES if name in found] + sorted(found - QUALITIES.keys())


def quality(name: str) -> Axis:
    """The axis of a metric, tasks included."""
    task = name.removeprefix(_TASK).replace("_", " ")
    return QUALITIES.get(name, Axis(name, f"{task} accuracy", higher_is_better=True))


def is_share(name: str) -> bool:
    """Whether a metric is a share of tokens, suffixes or questions, shown in per cent."""
    return name in ("top1_agreement", "identical", "exact") or name.startswith(_TASK)


def metric_label(name: str) -> str:
    """`Perplexity`, `KL divergence`, `Top-1 agreement`, `ARC easy`."""
    return _LABELS.get(name, name.removeprefix(_TASK).replace("_", " "))
