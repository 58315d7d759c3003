"""A Report is all that a finished run leaves behind: what was asked, what came out, how sure it is.

Reports are JSON. Pages and the command line only draw Reports; nothing in them needs the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cache.digest import canonical_json
from qcore.errors import CorruptEntry, InvalidRecipe, NumericalError
from qcore.recipe import Recipe
from qcore.report.suffix import SuffixReport
from qcore.report.tokens import TokenStatistics
from qcore.serialization import from_plain, parse_json, require, to_plain

REPORT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Metric:
    """One number with its meaning and how far it may be trusted.

    Attributes:
        name: `perplexity`, `kl`, `top1_agreement`, or `accuracy/TASK`.
        value: in `unit`.
        low: lower end of the 95 % confidence interval, where there is one.
        high: upper end.
        unit: "", "nats/token", "%", …
        definition: one sentence that another program could follow to the same number.
        count: scored tokens, or questions.
    """

    name: str
    value: float
    unit: str
    definition: str
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One linear layer.

    Attributes:
        name: `3.self_attn.q_proj`: decoder block, then the module's path in it.
        block: decoder block, from 0.
        projection: `q_proj`, `down_proj`, …
        format: the Format's name.
        parameters: weights in the layer.
        element_bits: bits per code, scales not counted.
        bits_per_weight: scales and zero points included.
        weight_error: ‖W − Ŵ‖² / ‖W‖².
        output_error: ‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖² on the calibration text; None without a capture.
        damping: fraction of the mean diagonal that the Cholesky factor needed; None for RTN.
        seconds: wall time of scaling and rounding.
        asked: the damping asked for, where it was not enough; None where it was, and in Reports
            written before this was kept.
        clipped: weights beyond the last code of their scale; None in Reports written before.
        beyond: what the types of scales could not hold → how many; None where they held all.
    """

    name: str
    block: int
    projection: str
    format: str
    parameters: int
    element_bits: int
    bits_per_weight: float
    weight_error: float
    output_error: float | None = None
    damping: float | None = None
    seconds: float = 0.0
    asked: float | None = None
    clipped: int | None = None
    beyond: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes the model would occupy in storage.

    Attributes:
        element_bytes: codes of the quantized layers.
        scale_bytes: their scales and zero points.
        float_bytes: everything that stays in 16-bit float: embeddings, norms, head.
        bits_per_weight: (element + scale bits) per quantized weight; 16 for the float network.
        quantized_parameters: weights in quantized layers.
        total_parameters: all parameters, tied ones once.
    """

    element_bytes: int
    scale_bytes: int
    float_bytes: int
    bits_per_weight: float
    quantized_parameters: int
    total_parameters: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.element_bytes + self.scale_bytes + self.float_bytes


@dataclass(frozen=True, slots=True)
class Trajectory:
    """How dMX's offsets were learned, thinned to what a curve needs.

    Attributes:
        steps: optimiser steps, from 0; every other field has a value for each.
        loss: cross-entropy of the step's batch, nats/token, penalty left out.
        bits: average bits that the gates of that step stand for.
        temperature: effective T of the logistic gate.
        offsets: layer → β̂ before the gate.
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    bits: tuple[float, ...]
    temperature: tuple[float, ...]
    offsets: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """What became of a bit budget.

    Attributes:
        bits: average bits reached, counted as the recipe's precision part says.
        cost: sum of the chosen sensitivities in the unit of the probe's measure; None where no
            sensitivity was asked for.
        note: a sentence on how the assignment came about; may be empty.
        trajectory: of dMX.
    """

    bits: float
    cost: float | None = None
    note: str = ""
    trajectory: Trajectory | None = None


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of the run: its content key, wall seconds, and whether the cache had it."""

    name: str
    key: str
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True)
class KernelReport:
    """Which implementation of an operation served the run's uncached stages, and why.

    Attributes:
        operation: its public name in `kernels`.
        path: `torch`, `compiled` or `triton`.
        why: in a few words.
        count: calls.
    """

    operation: str
    path: str
    why: str
    count: int


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and on what a run was made.

    Attributes:
        device: `cpu` or the GPU's name.
        model: what to call the model, the baseline's caveat included.
        model_digest: SHA-256 over its files.
        family: architecture family.
        data: digest by text or task name.
        versions: package → version.
        revision: the Hub's commit, where there is one.
        peak_bytes: the most memory that the process ever held until the run ended; estimates for
            later runs learn from it. None where it was not measured.
    """

    device: str
    model: str
    model_digest: str
    family: str
    data: dict[str, str]
    versions: dict[str, str]
    revision: str | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one recipe.

    Attributes:
        id: first 16 hexadecimal digits of the run's key (recipe, model and data contents, stages).
        recipe: what was asked.
        created: seconds since the epoch.
        assignment: layer → Format name.
        layers: one row per quantized layer.
        metrics: the numbers.
        window_losses: mean loss of every evaluation window, nats/token, in order; what paired
            comparisons resample.
        float_window_losses: the same windows on the float network.
        window_divergences: mean KL of every window, nats/token; empty where not asked.
        volume: storage.
        stages: in order.
        environment: versions, device, contents.
        notes: sentences that the reader must know (caveats, dampings raised, fallbacks).
        precision: what became of a bit budget; None without one.
        kernels: what served; empty where everything came from the cache.
        tokens: statistics over all scored tokens against the float network; None for the float
            network itself, without divergence, and in Reports written before this was kept.
        suffix: of a network that predicts suffixes, whose windows are test cases; else None.
    """

    id: str
    recipe: Recipe
    created: float
    assignment: dict[str, str]
    layers: tuple[LayerReport, ...]
    metrics: tuple[Metric, ...]
    window_losses: tuple[float, ...]
    float_window_losses: tuple[float, ...]
    window_divergences: tuple[float, ...]
    volume: Volume
    stages: tuple[StageReport, ...]
    environment: Environment
    notes: tuple[str, ...] = ()
    precision: PrecisionReport | None = None
    kernels: tuple[KernelReport, ...] = ()
    tokens: TokenStatistics | None = None
    schema: int = field(default=REPORT_SCHEMA)
    suffix: SuffixReport | None = None

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def to_json(self) -> str:
        """The canonical JSON text; `from_json` gives back an equal Report.

        Raises:
            NumericalError: a number is NaN or infinite, which JSON has no word for.
        """
        plain = to_plain(self)
        place = _not_finite(plain, "report")
        if place is not None:
            raise NumericalError(
                f"{place} is not a finite number",
                remedy="use more bits, or scales that clip less",
            )
        return canonical_json(plain)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """A Report from its JSON text.

        Raises:
            InvalidRecipe: not a Report.
            CorruptEntry: a Report of a newer version, which may mean something else by its fields.
        """
        data = parse_json(text)
        schema = data.get("schema", REPORT_SCHEMA) if isinstance(data, dict) else REPORT_SCHEMA
        if type(schema) is int and schema > REPORT_SCHEMA:
            raise CorruptEntry(
                f"the report is of schema {schema}, and this version reads {REPORT_SCHEMA}",
                remedy="open it with the newer Quantscope that made it",
            )
        report = from_plain(cls, data, "report")
        if "\\u" in text:  # else it holds no escape, and so no half of a surrogate pair
            _check_texts(data)
        _check(report)
        return report


def _check_texts(data: Any) -> None:
    try:
        canonical_json(data).encode()
    except UnicodeEncodeError as error:
        raise InvalidRecipe(
            f"the report holds half of a character, {error.object[error.start]!a}",
            remedy="write the character itself",
        ) from error


def _check(report: Report) -> None:
    """Refuse values that no run has.

    Raises:
        InvalidRecipe: says which.
    """
    require(report.schema == REPORT_SCHEMA, f"report.schema is {report.schema}", "run it again")
    require(
        0 <= report.created < _YEAR_10000,
        f"report.created is {report.created:g}, no time of this age",
        "write seconds since 1970",
    )
    deepest = max((layer.block for layer in report.layers), default=0)
    shallowest = min((layer.block for layer in report.layers), default=0)
    require(
        shallowest >= 0 and deepest < _MOST_BLOCKS,
        f"report.layers names blocks {shallowest} to {deepest}",
        f"count them from 0, below {_MOST_BLOCKS}",
    )


_YEAR_10000 = 253_402_300_800
_MOST_BLOCKS = 100_000


def _not_finite(value: Any, where: str) -> str | None:
    """Where the first NaN or infinity stands; None where there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return where
    if isinstance(value, dict):
        parts = ((item, f"{where}.{key}") for key, item in value.items())
    elif isinstance(value, list):
        parts = ((item, f"{where}[{at}]") for at, item in enumerate(value))
    else:
        return None
    return next((found for part in parts if (found := _not_finite(*part))), None)
