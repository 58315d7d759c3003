"""The story of a run, read top to bottom: a Recipe goes in, a Report comes out.

Everything is asked of the cache first. A run whose every stage is cached never loads the network;
a run whose Report exists returns it, bit for bit, and does not even wait for torch: what computes
is imported when there is something to compute.
"""

from __future__ import annotations

import importlib.metadata
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache.store import Cache
from qcore.errors import OutOfMemory
from qcore.machine.home import home
from qcore.pipeline.journal import Journal
from qcore.pipeline.keys import Keys, resolve_inputs
from qcore.pipeline.planning.fitting import require_fits
from qcore.pipeline.planning.preview import stages_of
from qcore.pipeline.session import Workbench
from qcore.pipeline.summary import damping_notes, limit_notes, volume
from qcore.progress import Emit, Event
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Environment, KernelReport, PrecisionReport, Report

if TYPE_CHECKING:
    from qcore.pipeline.stages.assign import FormatAssigner
    from qcore.pipeline.stages.quantize import Quantizer

PACKAGES = ("torch", "transformers", "tokenizers", "lm-eval", "numpy", "numba")
"""Their versions stand in every Report."""


def run(
    recipe: Recipe,
    *,
    cache: Cache,
    emit: Emit,
    device: str = "cpu",
    root: Path | None = None,
    bench: Workbench | None = None,
) -> Report:
    """Carry out one recipe and keep its Report.

    Args:
        recipe: what to do.
        cache: where stages are kept and found.
        emit: hears of progress.
        device: torch's name of the device to run on.
        root: home folder; the user's own by default.
        bench: keeps the loaded network between the runs of one process.

    Raises:
        QuantscopeError: what is wrong and what to do; finished stages stay cached.
    """
    root = root or home()
    library = Library(root)
    keys = Keys(recipe, resolve_inputs(recipe, root))
    if library.has(keys.report):
        emit(Event("job", 1, 1, "this exact run was finished before"))
        return library.get(keys.report)
    bench = bench or Workbench(root, device)
    from kernels.dispatch import record_choices  # waits for torch

    with memory_errors(bench.device), record_choices() as record:
        report = _tell(keys, cache, Journal(emit), bench)
    kernels = [KernelReport(s.operation, s.implementation, s.why, s.count) for s in record.counts()]
    return library.add(replace(report, kernels=tuple(kernels)))


def _tell(keys: Keys, cache: Cache, journal: Journal, bench: Workbench) -> Report:
    """Every stage in order, then the Report."""
    from qcore.pipeline.stages.assign import FormatAssigner
    from qcore.pipeline.stages.capture import Calibrator
    from qcore.pipeline.stages.evaluate import Meter, metrics
    from qcore.pipeline.stages.quantize import Quantizer
    from qcore.pipeline.stages.transform import Outcome, Transformer

    recipe = keys.recipe
    for note in keys.inputs.notes(recipe):
        journal.note(note)

    with journal.stage("load", keys.load) as step:
        step.cached = stages_of(keys, cache)[0].cached
        if not step.cached:
            bench.network(keys, step)
        facts = bench.facts(keys, cache, step)
        require_fits(recipe, facts)

    meter = Meter(keys, cache, bench)
    with journal.stage("reference", keys.reference) as step:
        reference, step.cached = meter.reference_windows(step)

    calibrator = Calibrator(keys, cache, bench)
    if keys.capture:
        with journal.stage("capture", keys.capture) as step:
            step.cached = calibrator.capture(step)

    layers, outcome = [], Outcome()
    windows, scores = reference, []
    transformer = Transformer(keys, cache, bench, calibrator)
    quantizer = Quantizer(keys, cache, calibrator, transformer)
    assigner = FormatAssigner(keys, cache, bench, calibrator, transformer)
    precision = None
    with transformer, quantizer:  # the network is as it was afterwards
        if recipe.rotation is not None:
            with journal.stage("transform", keys.transform) as step:
                calibrator.hold(range(facts.blocks))
                outcome, step.cached = transformer.outcome(step)
            for note in outcome.notes:
                journal.note(note)
        if recipe.precision is not None:
            precision = _spend(keys, assigner, quantizer, journal)
        if recipe.weights is not None:
            with journal.stage("quantize", keys.quantize) as step:
                layers, step.cached = quantizer.quantize(step)
            for note in damping_notes(recipe, layers):
                journal.note(note)
            for note in limit_notes(layers, captured=bool(keys.capture)):
                journal.note(note)
        if not keys.is_float:
            with journal.stage("evaluate", keys.evaluate) as step:
                windows, step.cached = meter.windows(quantizer.network, step)
        for task in recipe.evaluation.tasks:
            with journal.stage(f"task {task}", keys.task(task)) as step:
                score, step.cached = meter.task(task, quantizer.network, step)
                scores.append(score)

    return Report(
        id=keys.report,
        recipe=recipe,
        created=time.time(),
        assignment={row.name: row.format for row in layers},
        layers=tuple(layers),
        metrics=metrics(windows, reference, recipe.evaluation.length, scores),
        window_losses=tuple(window.loss for window in windows),
        float_window_losses=tuple(window.loss for window in reference),
        window_divergences=tuple(w.kl for w in windows if w.kl is not None),
        volume=volume(recipe, facts, layers, outcome.added),
        stages=tuple(journal.stages),
        environment=_environment(keys, bench.device),
        notes=tuple(journal.notes),
        precision=precision,
    )


def _spend(
    keys: Keys, assigner: FormatAssigner, quantizer: Quantizer, journal: Journal
) -> PrecisionReport:
    """Find out what formats cost where the method asks, and give every layer one."""
    part = keys.recipe.precision
    assert part is not None
    if part.needs_sensitivity:
        with journal.stage("sensitivity", keys.sensitivity) as step:
            step.cached = assigner.sense(step)
    with journal.stage("assign", keys.assign) as step:
        formats, precision, step.cached = assigner.assign(step)
    quantizer.assign(formats)
    if precision.note:
        journal.note(precision.note)
    return precision


def _environment(keys: Keys, device: str) -> Environment:
    import torch

    source = keys.inputs.source
    return Environment(
        device=device if device == "cpu" else torch.cuda.get_device_name(device),
        model=source.label,
        model_digest=source.digest,
        family=source.family,
        data=keys.inputs.data,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        revision=source.revision,
        peak_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def memory_errors(device: str) -> Iterator[None]:
    """Turn every way in which memory runs out into one typed error."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{device} has no memory left: {str(error).splitlines()[0]}",
            remedy="use shorter windows, a smaller model, or dtype bfloat16",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise OutOfMemory(
            "the machine has no memory left",
            remedy="close other programs, use a smaller model, or dtype bfloat16",
        ) from error
