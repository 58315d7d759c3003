"""The story of a run, read top to bottom: a Recipe goes in, a Report comes out.

Everything is asked of the cache first. A run whose every stage is cached never loads the network;
a run whose Report exists returns it, bit for bit, and does not even wait for torch: what computes
is imported when there is something to compute.

A Report outlives what the cache keeps. `ensure` tells as much of the same story as one stage
needs, so that a capture, sensitivities or codes that were evicted can be had again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache.store import Cache
from qcore.errors import InvalidRecipe
from qcore.machine.home import home
from qcore.pipeline.environment import environment_of, memory_errors
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.journal import Journal
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.plan import missing_for, planned
from qcore.pipeline.planning.sizes import Sizes
from qcore.pipeline.planning.validation import require_fits, require_place
from qcore.pipeline.session import Session
from qcore.pipeline.stage import require_prompt, stage_names, stage_of
from qcore.pipeline.summary import damping_notes, input_notes, limit_notes, volume
from qcore.progress import Emit, Event
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Environment, KernelReport, LayerReport, PrecisionReport, Report
from qcore.report.tokens import TokenStatistics

if TYPE_CHECKING:
    from qcore.evaluation.harness import TaskScore
    from qcore.evaluation.perplexity import WindowScore
    from qcore.pipeline.suffix.story import SuffixFound


def run(
    recipe: Recipe,
    *,
    cache: Cache,
    emit: Emit,
    device: str = "cpu",
    root: Path | None = None,
    session: Session | None = None,
) -> Report:
    """Carry out one recipe and keep its Report.

    Args:
        recipe: what to do.
        cache: where stages are kept and found.
        emit: hears of progress.
        device: torch's name of the device to run on.
        root: home folder; the user's own by default.
        session: keeps the loaded network between the runs of one process.

    Raises:
        QuantscopeError: what is wrong and what to do; finished stages stay cached.
    """
    root = root or home()
    library = Library(root)
    keys = Keys(recipe, resolve_inputs(recipe, root))
    if library.owns(keys.report):
        emit(Event("job", 1, 1, "this exact run was finished before"))
        return library.get(keys.report)
    session = session or Session(root, device)
    journal = Journal(keys, emit)
    alone = session.is_empty  # else the process's peak may be that of a run before
    from kernels.dispatch import record_choices  # waits for torch

    with memory_errors(session.device), record_choices() as record:
        told = _tell_kind(keys, cache, journal, session, stage_names(recipe))
    kernels = tuple(
        KernelReport(s.operation, s.implementation, s.why, s.count) for s in record.counts()
    )
    device = "cpu" if recipe.suffix is not None else session.device
    where = environment_of(keys.inputs, device, alone=alone)
    if not isinstance(told, _Found):
        from qcore.pipeline.suffix.outcome import report_suffix

        # A network of another training is another network.
        where = replace(where, model_digest=keys.key("train"))
        return library.add(report_suffix(keys, journal, told, where, kernels))
    return library.add(_report(keys, journal, told, where, kernels))


def ensure(
    recipe: Recipe,
    stage: str,
    *,
    cache: Cache,
    emit: Emit,
    device: str = "cpu",
    root: Path | None = None,
    session: Session | None = None,
) -> str:
    """Make sure that a stage's outcome is in the cache, whether the recipe has run or not.

    What was evicted is computed again, with as much of what it needs as the cache has lost too.
    No Report is made, and one that exists stays as it is.

    Args:
        recipe: whose stage.
        stage: its name: `capture`, `sensitivity`, `quantize`, `evaluate`, `task arc_easy`, …
        cache: where stages are kept and found.
        emit: hears of progress.
        device: torch's name of the device to run on.
        root: home folder; the user's own by default.
        session: keeps the loaded network between the runs of one process.

    Returns:
        The stage's key; `Keys.entries` lists what it consists of.

    Raises:
        InvalidRecipe: the recipe has no such stage.
        QuantscopeError: what is wrong and what to do; finished stages stay cached.
    """
    require_stage(recipe, stage)
    root = root or home()
    keys = Keys(recipe, resolve_inputs(recipe, root))
    wanted = missing_for(keys, cache, stage)
    if not wanted:
        emit(Event("job", 1, 1, f"{stage}: the cache has all of it"))
        return keys.key(stage)
    session = session or Session(root, device)
    with memory_errors(session.device):
        _tell_kind(keys, cache, Journal(keys, emit), session, wanted)
    return keys.key(stage)


def require_stage(recipe: Recipe, stage: str) -> None:
    """Refuse a stage that a run of the recipe does not go through, and that is no continuation.

    Raises:
        InvalidRecipe: names those that it does.
    """
    names = stage_names(recipe)
    if stage in names:
        return
    if stage.startswith("continuation ") and recipe.suffix is None:
        require_prompt(stage_of(recipe, stage)[1])
        return
    raise InvalidRecipe(
        f"this recipe has no stage {stage[:40]!a}", remedy=f"choose {', '.join(names)}"
    )


@dataclass(slots=True)
class _Found:
    """What a run found out, stage by stage."""

    sizes: Sizes
    reference: Sequence[WindowScore] = ()
    windows: Sequence[WindowScore] = ()
    tasks: tuple[TaskScore, ...] = ()
    layers: tuple[LayerReport, ...] = ()
    added: int = 0
    precision: PrecisionReport | None = None
    tokens: TokenStatistics | None = None


def _tell_kind(
    keys: Keys, cache: Cache, journal: Journal, session: Session, wanted: Sequence[str]
) -> _Found | SuffixFound:
    """The story of the recipe's kind of network."""
    if keys.recipe.suffix is None:
        return _tell(keys, cache, journal, session, wanted)
    from qcore.pipeline.suffix.story import tell_suffix

    return tell_suffix(keys, cache, journal, session.root, wanted)


def _tell(
    keys: Keys, cache: Cache, journal: Journal, session: Session, wanted: Sequence[str]
) -> _Found:
    """Every stage that is wanted, in order."""
    from qcore.pipeline.stages.assign import FormatAssigner
    from qcore.pipeline.stages.capture import Calibrator
    from qcore.pipeline.stages.continuation import continue_prompt
    from qcore.pipeline.stages.evaluate import Evaluator
    from qcore.pipeline.stages.quantize import Quantizer
    from qcore.pipeline.stages.reference import Referee
    from qcore.pipeline.stages.task import score_task
    from qcore.pipeline.stages.transform import Transformer
    from qcore.pipeline.stages.windows import EvaluationText

    recipe = keys.recipe
    for note in keys.inputs.notes(recipe):
        journal.note(note)

    with journal.stage("load") as step:
        require_place(recipe, keys.inputs.source)
        step.cached = planned(keys, cache, wanted)[0].cached
        if not step.cached:
            session.network(keys, step)
        found = _Found(session.sizes(keys, cache, step))
        require_fits(recipe, found.sizes)

    text = EvaluationText(keys, session)
    referee = Referee(keys, cache, session, text)
    evaluator = Evaluator(keys, cache, referee, text)
    if "reference" in wanted:
        with journal.stage("reference") as step:
            found.reference, step.cached = referee.scores(step)
            if "evaluate" in wanted:
                evaluator.prepare()  # while the network is as it was loaded

    calibrator = Calibrator(keys, cache, session)
    if "capture" in wanted:
        with journal.stage("capture") as step:
            step.cached = calibrator.capture(step)

    transformer = Transformer(keys, cache, session, calibrator)
    quantizer = Quantizer(keys, cache, calibrator, transformer)
    assigner = FormatAssigner(keys, cache, session, calibrator, transformer)
    with transformer, quantizer:  # the network is as it was afterwards
        if "transform" in wanted:
            with journal.stage("transform") as step:
                if "capture" in wanted:
                    calibrator.hold(range(found.sizes.blocks))
                outcome, step.cached = transformer.outcome(step)
            found.added = outcome.added
            for note in outcome.notes:
                journal.note(note)

        if "sensitivity" in wanted:
            with journal.stage("sensitivity") as step:
                step.cached = assigner.sense(step)

        if "assign" in wanted:
            with journal.stage("assign") as step:
                formats, found.precision, step.cached = assigner.assign(step)
            quantizer.assign(formats)
            if found.precision.note:
                journal.note(found.precision.note)

        if "quantize" in wanted:
            with journal.stage("quantize") as step:
                rows, step.cached = quantizer.quantize(step)
            found.layers = tuple(rows)
            for note in damping_notes(recipe, rows) + limit_notes(
                rows, captured=bool(keys.capture)
            ):
                journal.note(note)

        found.windows = found.reference
        if "evaluate" in wanted:
            with journal.stage("evaluate") as step:
                found.windows, step.cached = evaluator.scores(
                    quantizer.network, step, quantizer.held
                )
                found.tokens = evaluator.statistics()
            for note in input_notes(found.windows):
                journal.note(note)

        for task in recipe.evaluation.tasks:
            if f"task {task}" in wanted:
                with journal.stage(f"task {task}") as step:
                    score, step.cached = score_task(keys, cache, task, quantizer.network, step)
                    found.tasks += (score,)

        for name in wanted:
            if name.startswith("continuation "):
                with journal.stage(name) as step:
                    step.cached = continue_prompt(keys, cache, name, quantizer.network, step)
    return found


def _report(
    keys: Keys,
    journal: Journal,
    found: _Found,
    environment: Environment,
    kernels: tuple[KernelReport, ...],
) -> Report:
    """Everything that a run leaves behind."""
    from qcore.pipeline.metrics import metrics

    recipe, windows, reference = keys.recipe, found.windows, found.reference
    return Report(
        id=keys.report,
        recipe=recipe,
        created=time.time(),
        assignment={row.name: row.format for row in found.layers},
        layers=found.layers,
        metrics=metrics(windows, reference, recipe.evaluation.length, found.tasks),
        window_losses=tuple(window.loss for window in windows),
        float_window_losses=tuple(window.loss for window in reference),
        window_divergences=tuple(w.kl for w in windows if w.kl is not None),
        volume=volume(recipe, found.sizes, found.layers, found.added),
        stages=tuple(journal.stages),
        environment=environment,
        notes=tuple(journal.notes),
        precision=found.precision,
        kernels=kernels,
        tokens=found.tokens,
    )
