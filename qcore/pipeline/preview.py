"""What a run, or a sweep, would reuse, and how long it may take: asked before anything starts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.home import home
from qcore.library import Library
from qcore.pipeline.keys import Keys, PlannedStage, resolve_inputs, stage_names
from qcore.recipe import Recipe
from qcore.report import Report


@dataclass(frozen=True, slots=True)
class Preview:
    """A sweep before it is submitted.

    Attributes:
        runs: recipes.
        finished: runs whose Report exists already: they return at once.
        stages: distinct stages over all unfinished runs.
        cached: those of them whose outcome is in the cache.
        shared: stages that several unfinished runs share, counted once each.
        seconds: expected time on this machine, from the stage times of past runs of the same
            model; None when a stage has never been timed.
    """

    runs: int
    finished: int
    stages: int
    cached: int
    shared: int
    seconds: float | None


def plan(recipe: Recipe, cache: Cache, *, root: Path | None = None) -> tuple[PlannedStage, ...]:
    """The recipe's stages, each with its key and whether the cache has all of it.

    Raises:
        ModelError, DataError: what the recipe names cannot be used.
    """
    return stages_of(Keys(recipe, resolve_inputs(recipe, root or home())), cache)


def preview(recipes: Sequence[Recipe], cache: Cache, *, root: Path | None = None) -> Preview:
    """What submitting `recipes` would do.

    Raises:
        ModelError, DataError: what a recipe names cannot be used.
    """
    root = root or home()
    library = Library(root)
    history = library.reports()
    uses: dict[str, int] = {}
    todo: dict[str, tuple[PlannedStage, Keys]] = {}
    finished = 0
    for recipe in recipes:
        keys = Keys(recipe, resolve_inputs(recipe, root))
        if library.has(keys.report):
            finished += 1
            continue
        for stage in stages_of(keys, cache):
            uses[stage.key] = uses.get(stage.key, 0) + 1
            if stage.key not in todo or not stage.cached:  # one run's load may be another's need
                todo[stage.key] = (stage, keys)
    return Preview(
        runs=len(recipes),
        finished=finished,
        stages=len(todo),
        cached=sum(stage.cached for stage, _ in todo.values()),
        shared=sum(count > 1 for count in uses.values()),
        seconds=_expected_seconds(todo, history),
    )


def stages_of(keys: Keys, cache: Cache) -> tuple[PlannedStage, ...]:
    """Stages in the order in which they run. A stage is cached when every part of it is.

    The network itself is never cached: its load is, when no other stage asks for it.
    """
    recipe = keys.recipe
    windows = range(recipe.evaluation.windows)
    facts = cache.record(keys.load)
    blocks = range(facts["size"]["blocks"]) if facts else None

    def all_blocks(stage: str) -> bool:
        return blocks is not None and all(cache.has(keys.block(stage, b)) for b in blocks)

    def all_windows(stage: str) -> bool:
        return all(cache.has(keys.window(stage, w)) for w in windows)

    planned = {
        "reference": (keys.reference, lambda: all_windows("reference")),
        "capture": (keys.capture, lambda: all_blocks("capture")),
        "transform": (keys.transform, lambda: cache.has(keys.transform)),
        "quantize": (keys.quantize, lambda: all_blocks("quantize")),
        "assign": (keys.assign, lambda: cache.has(keys.assign)),
        "evaluate": (keys.evaluate, lambda: all_windows("evaluate")),
    }
    if "sensitivity" in stage_names(recipe):
        planned["sensitivity"] = (keys.sensitivity, lambda: all_blocks("sensitivity"))
    for task in recipe.evaluation.tasks:
        key = keys.task(task)
        planned[f"task {task}"] = (key, functools.partial(cache.has, key))
    stages = [
        PlannedStage(name, planned[name][0], planned[name][1]())
        for name in stage_names(recipe)
        if name != "load"
    ]
    idle = facts is not None and all(stage.cached for stage in stages)
    return (PlannedStage("load", keys.load, idle), *stages)


def _expected_seconds(
    todo: dict[str, tuple[PlannedStage, Keys]], history: list[Report]
) -> float | None:
    """Sum over uncached stages of the newest measured time of the same kind of stage."""
    total = 0.0
    for stage, keys in todo.values():
        if stage.cached:
            continue
        seconds = next(
            (
                _scaled(done.seconds, stage.name, keys.recipe, report.recipe)
                for report in history
                if report.environment.model_digest == keys.inputs.source.digest
                and _alike(stage.name, keys.recipe, report.recipe)
                for done in report.stages
                if done.name == stage.name and not done.cached
            ),
            None,
        )
        if seconds is None:
            return None
        total += seconds
    return total


def _alike(stage: str, recipe: Recipe, past: Recipe) -> bool:
    """Whether a past run's stage took time for the same kind of work."""
    if recipe.model.dtype != past.model.dtype:
        return False
    if stage == "quantize":
        same = recipe.rounding.method == past.rounding.method
        return same and recipe.rounding.inputs == past.rounding.inputs
    if stage == "assign":  # only dMX takes time, and by its steps
        return (
            recipe.precision is not None
            and past.precision is not None
            and recipe.precision.method == past.precision.method
        )
    if stage == "evaluate":
        return (recipe.activations is None) == (past.activations is None)
    return True


def _scaled(seconds: float, stage: str, recipe: Recipe, past: Recipe) -> float:
    """A past stage's time at this recipe's number of tokens or questions."""
    if stage in ("reference", "evaluate"):
        tokens, before = _tokens(recipe.evaluation), _tokens(past.evaluation)
    elif stage == "capture" and recipe.calibration and past.calibration:
        tokens, before = _tokens(recipe.calibration), _tokens(past.calibration)
    elif stage.startswith("task") and recipe.evaluation.limit and past.evaluation.limit:
        tokens, before = recipe.evaluation.limit, past.evaluation.limit
    else:
        return seconds
    return seconds * tokens / before


def _tokens(part) -> int:
    return part.windows * part.length
