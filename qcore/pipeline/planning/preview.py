"""What a run, or a sweep, would reuse, need and take: asked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.errors import NotDownloaded
from qcore.machine.home import home
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning import footprint
from qcore.pipeline.planning.history import History, Past, seconds_of
from qcore.pipeline.planning.plan import PlannedStage, planned
from qcore.pipeline.planning.sizes import Sizes, sizes_of
from qcore.pipeline.planning.validation import require_fits, require_place
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
        timed: seconds of those stages that have been timed.
        untimed: the names of the others, each as often as it would run.
        probes: what those of them that measure sensitivities would count up to, where the
            networks' sizes are known: each block's layers go through all blocks from it on.
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
    timed: float = 0.0
    untimed: tuple[str, ...] = ()
    probes: int = 0


def plan(recipe: Recipe, cache: Cache, *, root: Path | None = None) -> tuple[PlannedStage, ...]:
    """The recipe's stages, each with its key and whether the cache has all of it.

    Raises:
        ModelError, DataError: what the recipe names cannot be used.
    """
    return planned(Keys(recipe, resolve_inputs(recipe, root or home())), cache)


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
        if history.library.owns(keys.report):
            finished += 1
            continue
        sizes = None
        if recipe.suffix is None:
            require_place(recipe, keys.inputs.source)
            sizes = sizes_of(keys.inputs.source, keys.load, cache)
        if sizes is not None:
            require_fits(recipe, sizes)
        needs.append(_memory(keys, sizes, history))
        for stage in planned(keys, cache):
            uses[stage.key] = uses.get(stage.key, 0) + 1
            if stage.key not in todo or not stage.cached:  # one run's load may be another's need
                todo[stage.key] = (stage, keys, sizes)
    timed, untimed = _times(todo.values(), history.runs())
    return Preview(
        runs=len(recipes),
        finished=finished,
        stages=len(todo),
        cached=sum(stage.cached for stage, _, _ in todo.values()),
        shared=sum(count > 1 for count in uses.values()),
        seconds=None if unseen or untimed else timed,
        memory=None if unseen else _all_known(needs, max),
        disk=None if unseen else _all_known([_disk(item) for item in todo.values()], sum),
        unseen=tuple(unseen),
        notes=tuple(notes),
        timed=timed,
        untimed=tuple(stage.name for stage, _, _ in untimed),
        probes=sum(
            _probes(sizes.blocks) for s, _, sizes in untimed if s.name == _MEASURES and sizes
        ),
    )


_MEASURES = "sensitivity"


def _probes(blocks: int) -> int:
    return blocks * (blocks + 1) // 2


Todo = tuple[PlannedStage, Keys, Sizes | None]


def _all_known(parts: Sequence[int | None], join: Callable[[list[int]], int]) -> int | None:
    """Their sum or maximum, 0 without any; None where one is not known."""
    known = [part for part in parts if part is not None]
    return join([0, *known]) if len(known) == len(parts) else None


def _memory(keys: Keys, sizes: Sizes | None, history: History) -> int | None:
    """What one run needs, as far as the formula and past runs can tell."""
    if sizes is None:
        return None
    recipe, digest = keys.recipe, keys.inputs.source.digest
    beyond = footprint.learned(history.runs(), digest, recipe.model.dtype, sizes)
    return footprint.memory_bytes(recipe, sizes) + beyond


def _disk(todo: Todo) -> int | None:
    """What one stage adds to the disk; the demo is dequantized once besides."""
    stage, keys, sizes = todo
    if stage.cached:
        return 0
    if sizes is None:
        return None
    if stage.name == "load":
        source = keys.inputs.source
        converts = source.kind == "demo" and not source.folder.is_dir()
        return sizes.parameters * 4 if converts else 0
    return footprint.disk_bytes(stage.name, keys.recipe, sizes)


def _times(todo: Iterable[Todo], runs: Sequence[Past]) -> tuple[float, list[Todo]]:
    """Sum over uncached stages of what past runs took, and those that were never timed."""
    timed, untimed = 0.0, []
    for item in todo:
        stage, keys, _ = item
        if stage.cached:
            continue
        seconds = seconds_of(stage.name, keys.recipe, keys.inputs.source.digest, runs)
        if seconds is None:
            untimed.append(item)
        else:
            timed += seconds
    return timed, untimed
