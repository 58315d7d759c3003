"""What a bundle carries of a run beside its Report: what pages look at, and no more.

    pieces        the text of the scored windows, token by token         Compare: where it hurts
    scores        loss, KL, Δp, agreement of every scored token          Compare
    sensitivity   what each layer's formats cost                         Bits
    sizes         of the network, without which those are not found      Bits
    measures      five numbers of every layer's inputs                   Outliers: the map

Captures themselves are not carried: those of the demo model have 500 MB, and what is seen of them
at a glance has 40 kB. Keys are never believed: they follow from the Reports of a bundle, and what
lies under another key is refused.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cache.store import Outcomes
from qcore.analysis.captures import captures, measures_key, overview
from qcore.analysis.tokens import key_of
from qcore.analysis.transform_effect import Measures
from qcore.errors import QuantscopeError, ShareError
from qcore.evaluation.tokens import TokenScores
from qcore.models.family import SITES
from qcore.pipeline.keys import block_key, part_key
from qcore.pipeline.planning.sizes import Sizes
from qcore.pipeline.stage import PIECES, TOKENS
from qcore.precision.table import BlockSensitivity
from qcore.report.report import Report
from qcore.report.summary import Summary
from qcore.serialization import from_hint, from_plain

Kind = Literal["pieces", "sensitivity", "sizes", "measures"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeysOfRun:
    """Where a run's outcomes lie in a cache.

    Attributes:
        records: by kind, the keys of JSON values.
        scores: the keys of token scores, one per window.
    """

    records: dict[Kind, tuple[str, ...]]
    scores: tuple[str, ...]


def keys_of_run(report: Report) -> KeysOfRun:
    """The keys of all that a bundle may carry of a run."""
    stages = {
        stage.name: stage.key for stage in report.stages if _KEY.fullmatch(stage.key) is not None
    }
    suffixes = report.recipe.suffix is not None
    windows = range(0 if suffixes else len(report.window_losses))
    blocks = range(1 + max((layer.block for layer in report.layers), default=-1))

    def each(stage: str, key: Any) -> tuple[str, ...]:
        return tuple(key(stages[stage], block) for block in blocks) if stage in stages else ()

    reference, scored = stages.get("reference", ""), key_of(report)
    return KeysOfRun(
        {
            "pieces": tuple(part_key(reference, PIECES, w) for w in windows) if reference else (),
            "sensitivity": () if suffixes else each("sensitivity", block_key),
            "sizes": (stages["load"],) if "load" in stages and not suffixes else (),
            "measures": () if suffixes else each("capture", measures_key),
        },
        tuple(part_key(scored, TOKENS, w) for w in windows) if _KEY.fullmatch(scored) else (),
    )


def records_of(report: Report, cache: Outcomes) -> Iterator[tuple[Kind, str, Any]]:
    """(kind, key, value) of what the cache still holds of a run's records."""
    _measure_outliers(report, cache)
    for kind, keys in keys_of_run(report).records.items():
        for key in keys:
            value = cache.record(key)
            if value is not None and not _fault(kind, value):
                yield kind, key, value


def scores_of(report: Report, cache: Outcomes) -> dict[str, Tensor]:
    """A run's token scores as `WINDOW.FIELD` tensors; empty unless the cache has all windows."""
    found: dict[str, Tensor] = {}
    for window, key in enumerate(keys_of_run(report).scores):
        kept = cache.artifact(key)
        if kept is None:
            return {}
        found |= {f"{window}.{name}": tensor.clone() for name, tensor in kept.tensors.items()}
    try:
        check_scores(report, found)
    except ShareError:
        return {}
    return found


def blocks_seen(report: Report, records: Container[str]) -> list[str]:
    """Keys of a capture's blocks of which the measures are among these records."""
    keys = {stage.name: stage.key for stage in report.stages}
    blocks = range(1 + max((layer.block for layer in report.layers), default=-1))
    if "capture" not in keys:
        return []
    capture = keys["capture"]
    return [block_key(capture, b) for b in blocks if measures_key(capture, b) in records]


def check_record(kind: str, value: Any) -> None:
    """Refuse a record that is not what its kind says. Raises ShareError."""
    reason = _fault(kind, value)
    if reason:
        raise ShareError(f"a record of {kind[:40]!a} is damaged: {reason}", remedy=_ANOTHER)


def check_scores(report: Report, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not the scores of all windows of a run. Raises ShareError."""
    windows: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        window, _, field = name.partition(".")
        if field not in _FIELDS or tensor.ndim != 1:
            raise ShareError(f"scores of run {report.id} hold {name[:40]!a}", remedy=_ANOTHER)
        if tensor.dtype not in (torch.float32, torch.bool) or not bool(tensor.isfinite().all()):
            raise ShareError(
                f"scores {name[:40]!a} of run {report.id} are no finite float32 numbers",
                remedy=_ANOTHER,
            )
        windows.setdefault(window, {})[field] = tensor
    if list(windows) and set(windows) != {str(w) for w in range(len(report.window_losses))}:
        raise ShareError(
            f"run {report.id} has {len(report.window_losses)} windows and scores of {len(windows)}",
            remedy=_ANOTHER,
        )
    lengths = {len(TokenScores.from_tensors(parts).loss) for parts in windows.values()}
    if len(lengths) > 1:
        raise ShareError(f"windows of run {report.id} differ in length", remedy=_ANOTHER)


def _measure_outliers(report: Report, cache: Outcomes) -> None:
    """Have the map of outliers kept where the capture is; 30 ms per block, once."""
    for capture in captures([Summary.of(report)], cache):
        overview(capture, cache)


def _fault(kind: str, value: Any) -> str:
    """Why a record is not of its kind; empty where it is."""
    try:
        if kind == "pieces":
            from_hint(tuple[str, ...], value, "pieces")
        elif kind == "sensitivity":
            from_plain(BlockSensitivity, value, "sensitivity")
        elif kind == "sizes":
            from_plain(Sizes, value, "sizes")
        elif kind == "measures":
            for site, numbers in from_hint(dict[str, dict[str, float]], value, "measures").items():
                whole = type(value[site].get("width")) is int
                if site not in SITES or set(numbers) != _MEASURED or not whole:
                    return f"it has a site {site[:40]!a} with {len(numbers)} numbers"
        else:
            return "nothing here reads that kind"
    except QuantscopeError as error:
        return error.fact
    return ""


_MEASURED = {"width", *(item.name for item in fields(Measures))}
_FIELDS = ("loss", "kl", "delta_p", "agreement", "float_loss")
_ANOTHER = "ask for the bundle again"
