"""What a board shows of its runs, as plain JSON.

Everything that many runs have in common stands once: a network's layers, the float network's
losses, a capture's map. Numbers keep as many digits as a figure shows, losses of windows as many as
their paired differences need. Names of folders and files of this machine are cut to their last
part, wherever they stand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cache.store import Outcomes
from qcore.errors import ShareError
from qcore.evaluation.confidence import stretch
from qcore.recipe.titles import evaluation_label, method, short_title_of, title_of
from qcore.report.labels import NOTHING, Label, one_line
from qcore.report.metrics import is_share, known, metric_label, quality
from qcore.report.report import Report
from qcore.report.summary import Summary
from qcore.share.board.insides import captured, scored_tokens
from qcore.share.bundle import local_paths, quantscope_version

MOST_RUNS = 1_000
LONGEST_TITLE, LONGEST_NOTE = 120, 20_000
"""Characters."""
USUAL_TOKENS = 4
"""Runs whose tokens a board carries unless it is told which."""


@dataclass(slots=True)
class _Table:
    """Values that stand once, and the place of each."""

    rows: list[Any] = field(default_factory=list)
    places: dict[Any, int] = field(default_factory=dict)

    def place(self, key: Any, row: Any) -> int:
        """Where the row of a key stands; it is added where there is none."""
        if key not in self.places:
            self.places[key] = len(self.rows)
            self.rows.append(row)
        return self.places[key]


def board_data(
    reports: Sequence[Report],
    kept: Outcomes,
    labels: Mapping[str, Label],
    *,
    title: str = "",
    note: str = "",
    tokens: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that a board of these runs draws.

    Args:
        reports: whole Reports, each once.
        kept: where tokens and captures are looked up; what it lacks is left out.
        labels: what is said of runs, by id.
        title: of the board.
        note: what its reader is told first; paragraphs are parted by empty lines.
        tokens: ids of the runs whose tokens are shown; by default the first few that have any.
        sources: the bundle that brought a run, by id.

    Raises:
        ShareError: no runs, too many, one twice, or tokens of a run that is none of them.
        InvalidRecipe: the title or the note is too long.
    """
    _check(reports, tokens)
    names = known(metric.name for report in reports for metric in report.metrics)
    networks, groups, floats = _Table(), _Table(), _Table()
    runs = []
    for report in reports:
        run = _run(report, labels.get(report.id, NOTHING), names)
        run["group"] = groups.place(_group_key(report), _group(report))
        run |= _layers(report, networks)
        if report.float_window_losses:
            losses = _digits(report.float_window_losses, 8)
            run["float"] = floats.place(tuple(losses), losses)
        if sources and report.id in sources:
            run["source"] = sources[report.id]
        runs.append(run)
    windows = {len(report.window_losses) for report in reports}
    maps, of_run = captured([Summary.of(report) for report in reports], kept)
    for run in runs:
        if run["id"] in of_run:
            run["capture"] = of_run[run["id"]]
    data = {
        "title": one_line(title, "the title", LONGEST_TITLE) or "Quantization runs",
        "note": _bounded(note),
        "made": time.time(),
        "version": quantscope_version(),
        "metrics": [_metric(name) for name in names],
        "groups": groups.rows,
        "networks": networks.rows,
        "floats": floats.rows,
        "runs": runs,
        "stretch": {str(n): stretch(n) for n in range(2, 1 + max(windows, default=1))},
        "captures": maps,
        "tokens": _tokens(reports, kept, tokens),
    }
    return _shortened(data, local_paths(reports))


def _check(reports: Sequence[Report], tokens: Sequence[str] | None) -> None:
    ids = [report.id for report in reports]
    if not reports or len(reports) > MOST_RUNS:
        raise ShareError(
            f"a board of {len(reports):,} runs cannot be made", remedy=f"choose 1 to {MOST_RUNS:,}"
        )
    if len(set(ids)) != len(ids):
        raise ShareError("a run stands twice", remedy="name each run once")
    strange = [run for run in tokens or () if run not in ids]
    if strange:
        raise ShareError(
            f"{strange[0][:40]!a} is none of the board's runs", remedy="show tokens of its own runs"
        )


def _run(report: Report, label: Label, names: Sequence[str]) -> dict[str, Any]:
    recipe, where, volume = report.recipe, report.environment, report.volume
    run: dict[str, Any] = {
        "id": report.id,
        "title": label.name or title_of(recipe),
        "short": label.name or short_title_of(recipe),
        "recipeTitle": title_of(recipe),
        "method": method(recipe),
        "model": where.model,
        "created": report.created,
        "bits": _digit(volume.bits_per_weight, 6),
        "bytes": volume.total_bytes,
        "values": [_value(report, name) for name in names],
        "loss": _digits(report.window_losses, 8),
        "kl": _digits(report.window_divergences, 6),
        "recipe": recipe.to_dict(),
        "device": where.device,
        "versions": where.versions,
        "modelDigest": where.model_digest,
        "data": where.data,
    }
    said = {"note": label.note, "tags": list(label.tags), "notes": list(report.notes)}
    return run | {name: value for name, value in said.items() if value}


def _value(report: Report, name: str) -> list[Any] | None:
    """A metric as value, low, high, count, with its sentence; None where it was not measured."""
    metric = report.metric(name)
    if metric is None:
        return None
    ends = [_digit(end, 7) for end in (metric.value, metric.low, metric.high)]
    return [*ends, metric.count]


def _metric(name: str) -> dict[str, Any]:
    axis = quality(name)
    return {
        "name": name,
        "label": metric_label(name),
        "axis": axis.label,
        "higher": axis.higher_is_better,
        "logarithmic": axis.logarithmic,
        "share": is_share(name),
    }


def _group_key(report: Report) -> tuple[Any, ...]:
    """Runs of one key were scored on the same tokens of the same network."""
    asked, data = report.recipe.evaluation, report.environment.data
    text = data.get("evaluation text", asked.text)
    prefixes = report.suffix.prefixes if report.suffix is not None else None
    return report.environment.model_digest, text, asked.length, prefixes


def _group(report: Report) -> dict[str, Any]:
    return {"label": evaluation_label(report.recipe), "model": report.environment.model}


def _layers(report: Report, networks: _Table) -> dict[str, Any]:
    """A run's layers in the order of its network's, which stands once for all runs."""
    if not report.layers:
        return {}
    names = [layer.name for layer in report.layers]
    network = {
        "names": names,
        "blocks": [layer.block for layer in report.layers],
        "projections": [layer.projection for layer in report.layers],
        "parameters": [layer.parameters for layer in report.layers],
    }
    formats = list(dict.fromkeys(layer.format for layer in report.layers))
    found: dict[str, Any] = {
        "network": networks.place((report.environment.model_digest, tuple(names)), network),
        "formats": formats,
        "format": [formats.index(layer.format) for layer in report.layers],
        "layerBits": _constant([_digit(layer.bits_per_weight, 5) for layer in report.layers]),
        "weightError": [_digit(layer.weight_error, 4) for layer in report.layers],
    }
    if any(layer.output_error is not None for layer in report.layers):
        found["outputError"] = [_digit(layer.output_error, 4) for layer in report.layers]
    if len(formats) == 1:
        found["format"] = 0
    return found


def _constant(values: list[Any]) -> Any:
    """The value of a list of equal ones, else the list."""
    return values[0] if len(set(values)) == 1 else values


def _tokens(reports: Sequence[Report], kept: Outcomes, asked: Sequence[str] | None) -> Any:
    """Tokens of the runs that were asked for, or of the first few that have any."""
    texts, found = _Table(), {}
    for report in reports:
        wanted = len(found) < USUAL_TOKENS if asked is None else report.id in asked
        scored = scored_tokens(report, kept) if wanted and report.recipe.suffix is None else None
        if scored is not None:
            pieces, numbers = scored
            found[report.id] = {"text": texts.place(pieces, [list(w) for w in pieces]), **numbers}
    return {"texts": texts.rows, "runs": found}


def _bounded(note: str) -> str:
    paragraphs = [
        one_line(part, "a paragraph of the note", LONGEST_NOTE)
        for part in note.replace("\r\n", "\n").split("\n\n")
    ]
    text = "\n\n".join(part for part in paragraphs if part)
    one_line(text, "the note", LONGEST_NOTE)
    return text


def _shortened(value: Any, paths: Sequence[str]) -> Any:
    """The same without folders of this machine: of each path its last part is left."""
    if not paths:
        return value
    if isinstance(value, str):
        for path in sorted(paths, key=len, reverse=True):
            value = value.replace(path, path.rstrip("/").rsplit("/", 1)[-1])
        return value
    if isinstance(value, dict):
        return {_shortened(key, paths): _shortened(item, paths) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item, paths) for item in value]
    return value


def _digits(values: Sequence[float], digits: int) -> list[float | None]:
    return [_digit(value, digits) for value in values]


def _digit(value: float | None, digits: int) -> float | None:
    """A number with so many significant digits; None for what JSON has no word for."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
