"""What runs that follow each other will compute, and how long that takes: learned, stage by stage.

A stage that the cache has, or that a run before it in the row makes, costs the later run nothing:
a sweep that shares its capture pays for it once. So the time of a sweep is no sum over its runs
taken alone, and the first of them may take longer than all others.

Times are those of past runs on this machine. Where a stage of the demo model has never been timed
here, what it took on two cores stands in, so that a first visit has something to go by; of other
models nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.errors import QuantscopeError
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.history import History, seconds_of
from qcore.pipeline.planning.plan import planned
from qcore.pipeline.stage import stage_names
from qcore.recipe import Recipe

DEMO_SECONDS = {
    "load": 4.0,
    "reference": 7.0,
    "capture": 9.0,
    "transform": 1.0,
    "learn": 60.0,
    "sensitivity": 90.0,
    "assign": 0.5,
    "quantize": 5.0,
    "evaluate": 7.5,
    "task": 60.0,
}
"""Seconds of the demo model's stages at default settings on two quiet cores; rough."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A stage of a run to come.

    Attributes:
        name: the stage.
        seconds: that it will take; 0 where its outcome is there by then, None where nobody knows.
    """

    name: str
    seconds: float | None


def schedule(
    recipes: Sequence[Recipe], cache: Cache, *, root: Path, history: History
) -> list[tuple[Expected, ...]]:
    """The stages of each recipe, run one after the other in this order.

    Asks no network. Of a recipe whose model or text cannot be read every stage is unknown: its run
    will say why.

    Args:
        recipes: the runs to come.
        cache: what is there already.
        root: home folder.
        history: past runs, to learn from.
    """
    made: set[str] = set()
    rows = []
    for recipe in recipes:
        try:
            keys = Keys(recipe, resolve_inputs(recipe, root, download=False))
            stages = planned(keys, cache)
        except QuantscopeError:
            rows.append(tuple(Expected(name, None) for name in stage_names(recipe)))
            continue
        if history.library.owns(keys.report):
            rows.append(tuple(Expected(stage.name, 0.0) for stage in stages))
            continue
        row = []
        for stage in stages:
            there = stage.cached or stage.key in made
            row.append(Expected(stage.name, 0.0 if there else _seconds(stage.name, keys, history)))
        made.update(stage.key for stage in stages)
        rows.append(tuple(row))
    return rows


def total(stages: Sequence[Expected]) -> float | None:
    """Seconds of all of them; None where one is unknown."""
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    return sum(known) if len(known) == len(stages) else None


def _seconds(stage: str, keys: Keys, history: History) -> float | None:
    learned = seconds_of(stage, keys.recipe, keys.inputs.source.digest, history.runs())
    if learned is not None or keys.recipe.model.source != "demo":
        return learned
    return DEMO_SECONDS.get(stage.partition(" ")[0])
