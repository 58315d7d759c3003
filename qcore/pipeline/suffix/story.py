"""The story of a suffix run: the log, the training, the float network, the quantized one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.pipeline.journal import Journal
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.plan import is_cached
from qcore.pipeline.suffix.answers import Answers, References, evaluate, reference
from qcore.pipeline.suffix.material import Material
from qcore.pipeline.suffix.quantizing import MatrixQuantizer
from qcore.pipeline.suffix.training import Trainer
from qcore.report.report import LayerReport, PrecisionReport
from qcore.report.suffix import EpochReport


@dataclass(slots=True)
class SuffixFound:
    """What a suffix run found out, stage by stage."""

    material: Material
    parameters: int = 0
    epochs: tuple[EpochReport, ...] = ()
    references: References | None = None
    answers: Answers | None = None
    layers: tuple[LayerReport, ...] = ()
    precision: PrecisionReport | None = None


def tell_suffix(
    keys: Keys, cache: Cache, journal: Journal, root: Path, wanted: Sequence[str]
) -> SuffixFound:
    """Every stage that is wanted, in order."""
    recipe = keys.recipe
    material = Material(recipe)
    found = SuffixFound(material)
    with journal.stage("load") as step:
        step.cached = is_cached(keys, cache, "load")
        log = material.log  # a report names its cases, so it is read in any case
        for note in log.notes:
            journal.note(note)
        split = material.split
        if not step.cached:
            facts = {"cases": len(log), "events": len(log.activity), "activities": len(log.names)}
            cache.put_record(keys.key("load"), facts)
        step(1, 1, f"{len(log):,} cases, {len(split.train):,} of them to train on")

    trainer = Trainer(keys, cache, root, material)
    quantizer = MatrixQuantizer(keys, cache, material, trainer)
    if "train" in wanted:
        with journal.stage("train") as step:
            step.cached = trainer.complete(step)
    found.epochs = trainer.history
    found.parameters = sum(p.numel() for p in trainer.network().parameters())

    if "reference" in wanted:
        with journal.stage("reference") as step:
            found.references, step.cached = reference(
                keys, cache, material, trainer.network(), step
            )
            found.answers = found.references.answers
    if "capture" in wanted:
        with journal.stage("capture") as step:
            step.cached = quantizer.capture(step)
    if "sensitivity" in wanted:
        with journal.stage("sensitivity") as step:
            step.cached = quantizer.sense(step)
    if "assign" in wanted:
        with journal.stage("assign") as step:
            found.precision, step.cached = quantizer.assign(step)
        if found.precision.note:
            journal.note(found.precision.note)
    if "quantize" in wanted:
        with journal.stage("quantize") as step:
            rows, step.cached = quantizer.quantize(step)
        found.layers = tuple(rows)
    if "evaluate" in wanted:
        assert found.references is not None
        with journal.stage("evaluate") as step:
            found.answers, step.cached = evaluate(
                keys,
                cache,
                material,
                (quantizer.network(), trainer.network()),
                quantizer.tap(),
                found.references,
                step,
            )
    return found
