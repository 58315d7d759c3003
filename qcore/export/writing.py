"""Export a finished run: refuse early, write whole, ask the gate, then give it its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from cache.digest import canonical_json, digest
from cache.store import Cache
from qcore.errors import ExportError
from qcore.export import compressed_tensors
from qcore.export.folder import staged
from qcore.export.proof import PROOF
from qcore.export.verdict import Verdict
from qcore.export.verify import verify
from qcore.pipeline.quantized import quantized_network
from qcore.progress import Emit, Event
from qcore.report.report import Report

BESIDE_WEIGHTS = 100_000_000
"""Bytes to keep free beyond the tensors: tokenizer, config, proof."""


def export_run(
    report: Report,
    target: Path,
    *,
    cache: Cache,
    emit: Emit = lambda _event: None,
    root: Path | None = None,
) -> list[Verdict]:
    """Write a run's network as a compressed-tensors folder and prove it.

    Args:
        report: of the run; what the cache has evicted of it is computed again.
        target: a folder that does not exist yet.
        cache: where the run's stages are kept.
        emit: hears of progress.
        root: home folder; the user's own by default.

    Returns:
        What each reader that was asked makes of it; they stand in `quantscope.json` too.

    Raises:
        ExportError: it cannot be written for this reader, the target exists, or the gate has found
            a difference; nothing is left at the target.
        DiskFull: not enough room, told before anything is written where it can be.
    """
    require_exportable(report)
    with quantized_network(report.recipe, cache=cache, emit=emit, root=root) as made:
        tensors = compressed_tensors.tensors_of(made)
        size = sum(tensor.bytes for tensor in tensors)
        with staged(target, size + BESIDE_WEIGHTS) as folder:
            emit(Event("export", kind="stage"))

            def progress(done: int, total: int, message: str = "") -> None:
                emit(Event("export", done, total, message))

            source = {"report": report.id, "recipe_digest": report.recipe.digest}
            digests = compressed_tensors.write(made, folder, tensors, source, progress)
            proof = {
                "schema": 1,
                "layout": "compressed-tensors",
                **source,
                "recipe": report.recipe.to_dict(),
                "model": report.environment.model,
                "calibration": digest(canonical_json(report.recipe.to_dict().get("calibration"))),
                "bytes": size,
                "tensors": digests,
            }
            _keep(folder, proof)
            emit(Event("export", message="asking the reader", kind="stage"))
            verdicts = verify(folder)
            _keep(folder, {**proof, "verdicts": [asdict(verdict) for verdict in verdicts]})
    return verdicts


def require_exportable(report: Report) -> None:
    """Refuse what no server of ours could load, before anything is computed.

    Raises:
        ExportError: the fact and what to run instead.
    """
    recipe = report.recipe
    if recipe.model.source == "suffix":
        raise ExportError(
            "a suffix network is no language model that servers load",
            remedy="export a run of a language model",
        )
    if recipe.activations is not None:
        raise ExportError(
            f"inputs are rounded to {recipe.activations.format} by a scale of max|x| over the "
            "largest code; servers divide by another number",
            remedy="run the same recipe with float inputs and export that",
        )


def _keep(folder: Path, proof: dict[str, object]) -> None:
    (folder / PROOF).write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
