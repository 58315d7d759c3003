"""What questions over many runs ask of each: a Report without its layers, windows and words.

A Report of the demo model is 50 kB and takes milliseconds to read; tables of runs, comparison
groups, estimates and the list of captures need a twentieth of it. Only facts are kept. What is
derived from them (titles, methods, groups) is derived when it is asked for, so that a better title
reaches the runs of last year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qcore.errors import CorruptEntry, QuantscopeError
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Report, StageReport


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's number: `value` in the metric's unit, its 95 % interval, what was counted."""

    name: str
    value: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One run.

    Attributes:
        id: the Report's.
        recipe: what was asked.
        created: seconds since the epoch.
        model: what to call it.
        model_digest: SHA-256 over its files.
        text_digest: of the evaluated text; empty where it was not kept.
        device: `cpu` or the GPU's name.
        bits: scales included, per quantized weight; 16 for the float network.
        bytes: of the whole network, float parts included.
        parameters: of the whole network, tied ones once.
        depth: decoder blocks that have quantized layers.
        scores: the metrics.
        float_loss: of the float network on the same windows, nats/token; None where not measured.
        stages: in order.
        peak_bytes: the most memory that the process held; None where it was not measured.
        notes: how many sentences the reader must know.
        budget_bits: average bits that a bit budget reached; None without one.
        trained: whether the Report holds dMX's training.
    """

    id: str
    recipe: Recipe
    created: float
    model: str
    model_digest: str
    text_digest: str
    device: str
    bits: float
    bytes: int
    parameters: int
    depth: int
    scores: tuple[Score, ...]
    float_loss: float | None
    stages: tuple[StageReport, ...]
    peak_bytes: int | None
    notes: int
    budget_bits: float | None
    trained: bool

    @classmethod
    def of(cls, report: Report) -> Summary:
        """The summary of a Report."""
        where, volume, precision = report.environment, report.volume, report.precision
        losses = report.float_window_losses
        return cls(
            id=report.id,
            recipe=report.recipe,
            created=report.created,
            model=where.model,
            model_digest=where.model_digest,
            text_digest=where.data.get("evaluation text", ""),
            device=where.device,
            bits=volume.bits_per_weight,
            bytes=volume.total_bytes,
            parameters=volume.total_parameters,
            depth=1 + max((layer.block for layer in report.layers), default=-1),
            scores=tuple(
                Score(item.name, item.value, item.low, item.high, item.count)
                for item in report.metrics
            ),
            # All windows have as many scored tokens, so the mean of their means is the tokens'.
            float_loss=math.fsum(losses) / len(losses) if losses else None,
            stages=report.stages,
            peak_bytes=where.peak_bytes,
            notes=len(report.notes),
            budget_bits=precision.bits if precision else None,
            trained=precision is not None and precision.trajectory is not None,
        )

    def score(self, name: str) -> Score | None:
        """The metric of that name, or None."""
        return next((score for score in self.scores if score.name == name), None)

    @property
    def float_perplexity(self) -> float:
        """Of the float network on the same windows; NaN where it was not measured."""
        if self.float_loss is None:
            return math.nan
        return math.exp(self.float_loss) if self.float_loss < _LARGEST_EXPONENT else math.inf

    @property
    def seconds(self) -> float:
        """Wall time of all stages, cached ones as read."""
        return math.fsum(stage.seconds for stage in self.stages)


_LARGEST_EXPONENT = 709.0


def read_summary(library: Library, name: str) -> Summary:
    """The summary of the Report of that id, from its file.

    Raises:
        FileNotFoundError: there is none.
        CorruptEntry: the file is not a Report that this version reads.
    """
    report = library.read(name)
    try:
        return Summary.of(report)
    except QuantscopeError:
        raise
    except Exception as error:  # whatever a file can cause must stay with that file
        raise CorruptEntry(
            f"report {name} cannot be summed up: {type(error).__name__}: {error}",
            remedy="delete it and run the recipe again",
        ) from error
