"""Which stages of a recipe the cache has, and which must run to make one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cache.store import Cache
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.sizes import kept_sizes
from qcore.pipeline.stage import stage_names, stage_of


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage before it runs: what it is called, its key, whether all its outcomes are cached."""

    name: str
    key: str
    cached: bool


def planned(
    keys: Keys, cache: Cache, wanted: Sequence[str] | None = None
) -> tuple[PlannedStage, ...]:
    """Stages in the order in which they run. A stage is cached when every part of it is.

    The network itself is never cached: its load is, when no other stage asks for it.

    Args:
        keys: of the recipe.
        cache: what is there.
        wanted: stages that are to run; all of the recipe's by default.
    """
    names = stage_names(keys.recipe) if wanted is None else wanted
    found = [PlannedStage(n, keys.key(n), is_cached(keys, cache, n)) for n in names if n != "load"]
    idle = is_cached(keys, cache, "load") and all(stage.cached for stage in found)
    return (PlannedStage("load", keys.load, idle), *found)


def is_cached(keys: Keys, cache: Cache, stage: str) -> bool:
    """Whether the cache has everything that makes a stage complete."""
    if keys.recipe.suffix is not None:  # small: no outcome is kept in parts
        return all(cache.has(key) for key in keys.entries(stage, 0))
    sizes = kept_sizes(keys.load, cache)
    if sizes is None:
        return False
    return all(cache.has(key) for key in keys.entries(stage, sizes.blocks))


def missing_for(keys: Keys, cache: Cache, stage: str) -> list[str]:
    """The stages to go through so that one of them is complete, in order; none where it is.

    What is in the cache is not looked behind: codes that are there need no capture.
    """
    if is_cached(keys, cache, stage):
        return []
    wanted = {"load", stage}
    ahead = keys.needs(stage)
    while ahead:
        name = ahead.pop()
        if name in wanted:
            continue
        wanted.add(name)
        needs = keys.needs(name)
        if is_cached(keys, cache, name):
            again = stage_of(keys.recipe, name)[0].remade_from
            needs = [need for need in needs if need in again]
        ahead += needs
    names = stage_names(keys.recipe)
    found = [name for name in names if name in wanted]
    return found if stage in names else [*found, stage]  # what is no part of a run comes last
