"""Metrics as axes: their columns, labels, units, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass


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

_QUALITIES = {
    "perplexity": Axis("perplexity", "perplexity", logarithmic=True),
    "loss_increase": Axis("loss_increase", "loss increase over the float model (nats/token)"),
    "kl": Axis("kl", "KL to the float model (nats/token)", logarithmic=True),
    "top1_agreement": Axis("top1_agreement", "top-1 agreement with the float model", True),
}


def quality(name: str) -> Axis:
    """The axis of a metric, tasks included."""
    task = name.removeprefix("accuracy/").replace("_", " ")
    return _QUALITIES.get(name, Axis(name, f"{task} accuracy", higher_is_better=True))


def is_share(name: str) -> bool:
    """Whether a metric is a share of tokens or questions, shown in per cent."""
    return name == "top1_agreement" or name.startswith("accuracy/")


def metric_label(name: str) -> str:
    """`Perplexity`, `KL divergence`, `Top-1 agreement`, `ARC easy`."""
    known = {
        "perplexity": "Perplexity",
        "loss_increase": "Loss increase",
        "kl": "KL divergence",
        "top1_agreement": "Top-1 agreement",
        "accuracy/arc_easy": "ARC-easy",
        "accuracy/arc_challenge": "ARC-challenge",
        "accuracy/piqa": "PIQA",
        "accuracy/hellaswag": "HellaSwag",
        "accuracy/winogrande": "WinoGrande",
    }
    return known.get(name, name.removeprefix("accuracy/").replace("_", " "))
