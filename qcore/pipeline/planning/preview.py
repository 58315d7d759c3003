"""What a run, or a sweep, would reuse, need and take: asked before anything starts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.errors import NotDownloaded
from qcore.machine.home import home
from qcore.pipeline.keys import Keys, resolve_inputs
from qcore.pipeline.planning import footprint
from qcore.pipeline.planning.fitting import require_fits
from qcore.pipeline.planning.history import History, Past
from qcore.pipeline.planning.sizes import Facts, facts_of
from qcore.pipeline.stage import PlannedStage, stage_names
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.library import Library


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
        memory: bytes that the hungriest run needs (`planning.footprint`); None where a
            network's sizes are not known.
        disk: bytes that the sweep would add to the cache; None likewise.
        unseen: Hub models that are not on this machine yet. Nothing is told about their runs but
            that there are so many.
        notes: what a reader of the results must know, as far as it is known before: each sentence
            once.
    """

    runs: int
    finished: int
    stages: int
    cached: int
    shared: int
    seconds: float | None
    memory: int | None = None
    disk: int | None = None
    unseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(recipe: Recipe, cache: Cache, *, root: Path | None = None) -> tuple[PlannedStage, ...]:
    """The recipe's stages, each with its key and whether the cache has all of it.

    Raises:
        ModelError, DataError: what the recipe names cannot be used.
    """
    return stages_of(Keys(recipe, resolve_inputs(recipe, root or home())), cache)


def preview(
    recipes: Sequence[Recipe],
    cache: Cache,
    *,
    root: Path | None = None,
    history: History | None = None,
) -> Preview:
    """What submitting `recipes` would do. Asks no network: it may run while somebody is typing.

    Args:
        recipes: the sweep.
        cache: what is there already.
        root: home folder; the user's own by default.
        history: keeps what was read of the library between calls.

    Raises:
        ModelError, DataError: what a recipe names cannot be used.
        InvalidRecipe: a recipe does not fit its network's sizes.
    """
    root = root or home()
    history = history or History(Index(Library(root)))
    uses: dict[str, int] = {}
    todo: dict[str, Todo] = {}
    needs: list[int | None] = []
    unseen: dict[str, None] = {}
    notes: dict[str, None] = {}
    finished = 0
    for recipe in recipes:
        try:
            keys = Keys(recipe, resolve_inputs(recipe, root, download=False))
        except NotDownloaded:
            unseen[recipe.model.name] = None
            continue
        notes |= dict.fromkeys(keys.inputs.notes(recipe))
        if history.library.has(keys.report):
            finished += 1
            continue
        facts = facts_of(keys.inputs.source, keys.load, cache)
        if facts is not None:
            require_fits(recipe, facts)
        needs.append(_memory(keys, facts, history))
        for stage in stages_of(keys, cache):
            uses[stage.key] = uses.get(stage.key, 0) + 1
            if stage.key not in todo or not stage.cached:  # one run's load may be another's need
                todo[stage.key] = (stage, keys, facts)
    return Preview(
        runs=len(recipes),
        finished=finished,
        stages=len(todo),
        cached=sum(stage.cached for stage, _, _ in todo.values()),
        shared=sum(count > 1 for count in uses.values()),
        seconds=None if unseen else _expected_seconds(todo, history.runs()),
        memory=None if unseen else _all_known(needs, max),
        disk=None if unseen else _all_known([_disk(item) for item in todo.values()], sum),
        unseen=tuple(unseen),
        notes=tuple(notes),
    )


Todo = tuple[PlannedStage, Keys, Facts | None]


def _all_known(parts: Sequence[int | None], join: Callable[[list[int]], int]) -> int | None:
    """Their sum or maximum, 0 without any; None where one is not known."""
    known = [part for part in parts if part is not None]
    return join([0, *known]) if len(known) == len(parts) else None


def _memory(keys: Keys, facts: Facts | None, history: History) -> int | None:
    """What one run needs, as far as the formula and past runs can tell."""
    if facts is None:
        return None
    recipe, digest = keys.recipe, keys.inputs.source.digest
    beyond = footprint.learned(history.runs(), digest, recipe.model.dtype, facts)
    return footprint.memory_bytes(recipe, facts) + beyond


def _disk(todo: Todo) -> int | None:
    """What one stage adds to the disk; the demo is dequantized once besides."""
    stage, keys, facts = todo
    if stage.cached:
        return 0
    if facts is None:
        return None
    if stage.name == "load":
        source = keys.inputs.source
        converts = source.kind == "demo" and not source.folder.is_dir()
        return facts.parameters * 4 if converts else 0
    return footprint.disk_bytes(stage.name, keys.recipe, facts)


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


def _expected_seconds(todo: dict[str, Todo], history: list[Past]) -> float | None:
    """Sum over uncached stages of the newest measured time of the same kind of stage."""
    total = 0.0
    for stage, keys, _ in todo.values():
        if stage.cached:
            continue
        seconds = next(
            (
                _scaled(done.seconds, stage.name, keys.recipe, past.recipe)
                for past in history
                if past.model_digest == keys.inputs.source.digest
                and _alike(stage.name, keys.recipe, past.recipe)
                for done in past.stages
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
