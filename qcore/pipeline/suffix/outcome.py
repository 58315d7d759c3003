"""The Report of a suffix run, from what its stages found."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from qcore.evaluation.confidence import compare_means, mean_interval
from qcore.pipeline.journal import Journal
from qcore.pipeline.keys import Keys
from qcore.pipeline.suffix.answers import Answers, CaseLosses, References
from qcore.pipeline.suffix.story import SuffixFound
from qcore.pipeline.summary import FLOAT_BITS, damping_notes, limit_notes
from qcore.report.report import Environment, KernelReport, Metric, Report, Volume
from qcore.report.suffix import LengthReport, SuffixReport
from qcore.suffix.batches import Prefixes
from qcore.suffix.metrics import scores

_ANSWERS = {
    "argmax": "the likeliest activity at every step",
    "beam": "beam search of width 5, normalised by length",
    "expected": "the one of least expected distance among 40 samples",
}


def report_suffix(
    keys: Keys,
    journal: Journal,
    found: SuffixFound,
    environment: Environment,
    kernels: tuple[KernelReport, ...],
) -> Report:
    """Everything that a suffix run leaves behind."""
    recipe, asked = keys.recipe, found.material.test
    assert found.references is not None
    assert found.answers is not None
    for note in damping_notes(recipe, found.layers) + limit_notes(
        found.layers, captured=bool(keys.key("capture"))
    ):
        journal.note(note)
    base, own = found.references.answers, found.answers
    return Report(
        id=keys.report,
        recipe=recipe,
        created=time.time(),
        assignment={row.name: row.format for row in found.layers},
        layers=found.layers,
        metrics=_metrics(keys, found.references, own, asked),
        window_losses=_shares(own.scores.losses, own.scores.targets),
        float_window_losses=_shares(base.scores.losses, base.scores.targets),
        window_divergences=_shares(own.scores.kl, own.scores.targets) if own.scores.kl else (),
        volume=_volume(found),
        stages=tuple(journal.stages),
        environment=environment,
        notes=tuple(journal.notes),
        precision=found.precision,
        kernels=kernels,
        suffix=_suffix(found, own, asked),
    )


def _metrics(
    keys: Keys, references: References, own: Answers, asked: Prefixes
) -> tuple[Metric, ...]:
    recipe, base = keys.recipe, references.answers
    assert recipe.suffix is not None
    how = _ANSWERS[recipe.suffix.answer]
    prefixes, events = len(asked), sum(own.scores.targets)
    where = f"over {prefixes:,} prefixes of {len(own.scores.targets):,} test cases"
    alike = np.array([a == b for a, b in zip(own.suffixes, base.suffixes, strict=True)], float)
    near = np.array(own.similarity)
    losses = _shares(own.scores.losses, own.scores.targets)
    found = [
        _scored("similarity", near, asked, f"1 − OSA distance / max length, mean {where}; {how}"),
        _scored(
            "exact", (near == 1).astype(float), asked, f"suffixes without an error, share {where}"
        ),
    ]
    changed = own is not base
    if changed:
        found.append(
            _scored(
                "identical",
                alike,
                asked,
                f"suffixes that are the float network's, share {where}; {how}",
            )
        )
    quality = mean_interval(losses)
    told = "mean cross-entropy of the true next activities and ends, teacher-forced"
    found.append(_metric("cross_entropy", quality, "nats/event", told, events))
    if changed:
        plain = _shares(base.scores.losses, base.scores.targets)
        gap = compare_means(plain, losses).difference
        told = "cross-entropy minus the float network's on the same cases (paired)"
        found.append(_metric("loss_increase", gap, "nats/event", told, events))
    if own.scores.kl:
        found += _divergences(own.scores, events)
    return tuple(found)


def _divergences(own: CaseLosses, events: int) -> list[Metric]:
    kl = mean_interval(_shares(own.kl, own.targets), bounds=(0, math.inf))
    agreed = mean_interval(_shares(own.agreed, own.targets), bounds=(0, math.inf))
    return [
        _metric("kl", kl, "nats/event", "KL(float ‖ quantized) of the next activity", events),
        _metric(
            "top1_agreement", agreed, "", "events whose likeliest activity is the same", events
        ),
    ]


def _metric(name: str, interval, unit: str, told: str, count: int) -> Metric:
    return Metric(name, interval.value, unit, told, count, interval.low, interval.high)


def _scored(name: str, values: np.ndarray, asked: Prefixes, told: str) -> Metric:
    found = scores(values, asked.case, asked.length)
    return Metric(name, found.similarity, "", told, found.prefixes, found.low, found.high)


def _shares(sums: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """Each case's share of a mean: its sum over the mean count of a case (`SuffixReport`)."""
    mean = sum(counts) / len(counts)
    return tuple(value / mean for value in sums)


def _by_case(values: np.ndarray, asked: Prefixes) -> tuple[float, ...]:
    _, place, counts = np.unique(asked.case, return_inverse=True, return_counts=True)
    return _shares(np.bincount(place, weights=values).tolist(), counts.tolist())


def _suffix(found: SuffixFound, own: Answers, asked: Prefixes) -> SuffixReport:
    references = found.references
    assert references is not None
    base = references.answers
    columns = {
        "network": own.similarity,
        "unquantized": base.similarity,
        "lookup": references.lookup,
        "markov": references.markov,
    }
    arrays = {name: np.array(values) for name, values in columns.items()}
    lengths, place, counts = np.unique(asked.length, return_inverse=True, return_counts=True)
    means = {name: np.bincount(place, weights=each) / counts for name, each in arrays.items()}
    alike = np.array([a == b for a, b in zip(own.suffixes, base.suffixes, strict=True)], float)
    return SuffixReport(
        alpha=references.alpha,
        longest=references.longest,
        cases=len(own.scores.targets),
        prefixes=len(asked),
        similarities=_by_case(arrays["network"], asked),
        identical=_by_case(alike, asked),
        lengths=tuple(
            LengthReport(
                int(length), int(counts[at]), **{name: float(means[name][at]) for name in columns}
            )
            for at, length in enumerate(lengths)
        ),
        baselines={
            "float": float(arrays["unquantized"].mean()),
            "lookup": float(arrays["lookup"].mean()),
            "markov": float(arrays["markov"].mean()),
        },
        epochs=found.epochs,
    )


def _volume(found: SuffixFound) -> Volume:
    quantized = sum(row.parameters for row in found.layers)
    element = sum(row.parameters * row.element_bits for row in found.layers)
    whole = sum(row.parameters * row.bits_per_weight for row in found.layers)
    return Volume(
        element_bytes=math.ceil(element / 8),
        scale_bytes=math.ceil((whole - element) / 8),
        float_bytes=(found.parameters - quantized) * FLOAT_BITS // 8,
        bits_per_weight=whole / quantized if quantized else float(FLOAT_BITS),
        quantized_parameters=quantized,
        total_parameters=found.parameters,
    )
