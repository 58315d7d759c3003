"""What a board shows from the cache: every token of chosen runs, and the outliers of captures.

A capture is shown as its map, five numbers for each layer's inputs, and of the one site whose
outliers stand out most as curves before and after a permutation and a rotation in blocks.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cache.store import Outcomes
from qcore.analysis.captures import (
    Capture,
    Lens,
    Place,
    captures,
    overview,
    rotations,
    site_statistics,
    view,
)
from qcore.analysis.tokens import tokens_of
from qcore.errors import QuantscopeError
from qcore.models.family import SITES
from qcore.recipe.titles import text_label
from qcore.report.report import Report
from qcore.report.summary import Summary

MEASURES = ("peak_to_rms", "kurtosis", "token_peak_to_rms", "token_kurtosis", "imbalance")
_BLOCK = 32
"""Features to a block of the rotation that is shown, where that divides."""


def scored_tokens(
    report: Report, kept: Outcomes
) -> tuple[tuple[tuple[str, ...], ...], dict[str, Any]] | None:
    """A run's windows as text pieces, and its numbers by window; None where they are not kept."""
    found = tokens_of(report, kept)
    if found is None:
        return None
    numbers = {"loss": _rows(found.loss)}
    for name, values in (("kl", found.kl), ("deltaP", found.delta_p)):
        if values is not None:
            numbers[name] = _rows(values)
    return found.pieces, numbers


def captured(
    runs: Sequence[Summary], kept: Outcomes
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The captures of these runs that are kept, and which of them each run has, by id."""
    found, places = [], {}
    for capture in captures(runs, kept):
        at = overview(capture, kept)
        if at:
            places[capture.key] = len(found)
            found.append(_map(capture, at, kept))
    of_run = {
        run.id: places[stage.key]
        for run in runs
        for stage in run.stages
        if stage.name == "capture" and stage.key in places
    }
    return found, of_run


def _map(capture: Capture, at: Sequence[Place], kept: Outcomes) -> dict[str, Any]:
    sites = [site for site in SITES if any(place.site == site for place in at)]
    blocks = sorted({place.block for place in at})
    values = {(place.block, place.site): place.measures for place in at}
    text = capture.calibration
    found: dict[str, Any] = {
        "label": f"{capture.model} · {text_label(text.text)} · {text.windows} × {text.length}",
        "sites": sites,
        "blocks": blocks,
        "measures": {
            name: [
                [
                    _number(getattr(values[block, site], name)) if (block, site) in values else None
                    for site in sites
                ]
                for block in blocks
            ]
            for name in MEASURES
        },
    }
    loudest = max(at, key=lambda place: place.measures.peak_to_rms)
    with contextlib.suppress(QuantscopeError):  # bundles bring the map alone
        found["site"] = _site(capture, loudest, kept)
    return found


def _site(capture: Capture, place: Place, kept: Outcomes) -> dict[str, Any]:
    """One site's inputs before and after, as curves and two numbers for each."""
    offered = [size for size in rotations(place.width) if isinstance(size, int)]
    block = _BLOCK if _BLOCK in offered else offered[-1]
    seen = view(
        site_statistics(capture, kept, place.block, place.site),
        Lens(rotation=block, permutation="massdiff"),
    )
    curves = []
    shown = {
        "before": (seen.curves["sample"], seen.before),
        "rotated": (seen.curves["kept"], seen.kept.rotated if seen.kept else None),
        "permuted, then rotated": (
            seen.curves.get("permuted"),
            seen.permuted.rotated if seen.permuted else None,
        ),
    }
    for name, (curve, tokens) in shown.items():
        if curve is None or tokens is None:
            continue
        there = curve.density > 0
        curves.append(
            {
                "name": name,
                "x": [_number(value) for value in curve.magnitude[there]],
                "y": [_number(value) for value in curve.density[there]],
                "peak": _number(float(tokens.peak.max())),
                "peakToRms": _number(float(np.nanmedian(tokens.peak_to_rms))),
            }
        )
    return {"block": place.block, "site": place.site, "rotation": block, "curves": curves}


def _rows(values: np.ndarray) -> list[list[float | None]]:
    return [[_number(float(value), 3) for value in row] for row in values]


def _number(value: float, digits: int = 4) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
