"""Export a finished run: refuse early, write whole, ask the gate, then give it its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Literal

from cache.digest import canonical_json, digest
from cache.store import Cache
from qcore.errors import ExportError
from qcore.export.folder import staged
from qcore.export.proof import PROOF
from qcore.export.verdict import Verdict
from qcore.export.verify import verify
from qcore.pipeline.quantized import quantized_network
from qcore.progress import Emit, Event
from qcore.report.report import Report

Layout = Literal["compressed-tensors", "gguf"]
LAYOUTS: tuple[Layout, ...] = ("compressed-tensors", "gguf")

BESIDE_WEIGHTS = 100_000_000
"""Bytes to keep free beyond the tensors: tokenizer, config, proof."""


def export_run(
    report: Report,
    target: Path,
    *,
    cache: Cache,
    to: Layout = "compressed-tensors",
    emit: Emit = lambda _event: None,
    root: Path | None = None,
) -> list[Verdict]:
    """Write a run's network for servers and prove it.

    Args:
        report: of the run; what the cache has evicted of it is computed again.
        target: a folder that does not exist yet.
        cache: where the run's stages are kept.
        to: a folder for transformers and vLLM, or one with a GGUF file for llama.cpp.
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
        writer = writer_of(to)
        tensors = writer.tensors_of(made)
        size = sum(tensor.bytes for tensor in tensors)

        def progress(done: int, total: int, message: str = "") -> None:
            emit(Event("export", done, total, message))

        source = {"report": report.id, "recipe_digest": report.recipe.digest}
        with staged(target, size + BESIDE_WEIGHTS) as folder:
            emit(Event("export", kind="stage"))
            proof = {
                "schema": 1,
                "layout": to,
                **source,
                "recipe": report.recipe.to_dict(),
                "model": report.environment.model,
                "calibration": digest(canonical_json(report.recipe.to_dict().get("calibration"))),
                "versions": report.environment.versions,
                "bytes": size,
                "promised": report.volume.total_bytes,
                "tensors": writer.write(made, folder, tensors, source, progress),
                **writer.samples(made),
            }
            _keep(folder, proof)
            emit(Event("export", message="asking the readers", kind="stage"))
            verdicts = verify(folder)
            _keep(folder, {**proof, "verdicts": [asdict(verdict) for verdict in verdicts]})
    return verdicts


def writer_of(to: Layout) -> ModuleType:
    """The module that writes a layout; loaded when it is asked for.

    Raises:
        ExportError: there is none.
    """
    if to not in LAYOUTS:
        raise ExportError(
            f"nothing is written as {to[:40]!r} here", remedy=f"choose {' or '.join(LAYOUTS)}"
        )
    if to == "gguf":
        from qcore.export.gguf import writer

        return writer
    from qcore.export import compressed_tensors

    return compressed_tensors


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
