"""A sweep is a recipe's JSON with lists where a recipe has one value, multiplied out."""

from __future__ import annotations

import itertools
import json
import math
import typing
from typing import Any

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.serialization import hints, part_type, require

MAX_RUNS = 512
"""The largest sweep that one submission may expand to."""


_DEEPEST = 16
"""Lists within lists, and parts within parts; a recipe's own parts go three deep."""


class RefusedRun(InvalidRecipe):
    """A combination of a sweep that cannot be run.

    Attributes:
        at: the value at each path that the sweep lists.
        reason: why that recipe is refused.
    """

    def __init__(self, fact: str, *, remedy: str):
        super().__init__(fact, remedy=remedy)
        self.at: dict[str, Any] = {}
        self.reason: InvalidRecipe = self


def expand(data: Any) -> list[Recipe]:
    """All recipes of a sweep, in the order in which lists are written, duplicates left out.

    A list stands wherever a recipe has a single value or a whole part. `tasks` is a list already;
    to sweep it, write a list of lists. A list at the top holds several sweeps, one after the other.

    Raises:
        InvalidRecipe: as `Recipe.from_dict`, or more than `MAX_RUNS` runs, which are counted before
            any is made.
        RefusedRun: a combination that cannot be run; names it.
    """
    sweeps = data if isinstance(data, list) else [data]
    _check_count(sum(_count(Recipe, sweep, 0) for sweep in sweeps))
    unique: dict[str, Recipe] = {}
    for sweep in sweeps:
        for recipe in _multiply(sweep, {}):
            unique.setdefault(recipe.digest, recipe)
    return list(unique.values())


def sweep_text(sweep: Any) -> str:
    """A sweep as the text of a file that people read and the command line runs."""
    return json.dumps(sweep, indent=2, ensure_ascii=False) + "\n"


def _multiply(data: Any, above: dict[str, Any]) -> list[Recipe]:
    """Every combination, duplicates included; `above` says what was picked of lists around."""
    axes = list(_axes(Recipe, data, ()))
    if not axes:
        return [_build(data, above)]
    runs: list[Recipe] = []
    for choice in itertools.product(*(values for _, values in axes)):
        picked = _copy(data)
        at = dict(above)
        for (path, _), value in zip(axes, choice, strict=True):
            _assign(picked, path, value)
            at[".".join(path)] = value
        runs += _multiply(picked, at)  # a listed part may hold lists again
    return runs


def _build(data: Any, at: dict[str, Any]) -> Recipe:
    try:
        return Recipe.from_dict(data)
    except InvalidRecipe as error:
        if not at:
            raise
        where = ", ".join(f"{path} = {json.dumps(value)[:60]}" for path, value in at.items())
        refused = RefusedRun(f"at {where}: {error.fact}", remedy=error.remedy)
        refused.at, refused.reason = at, error
        raise refused from error


def _count(cls: type, data: Any, depth: int) -> int:
    """How many runs a sweep has, duplicates included, without making one."""
    require(depth <= _DEEPEST, "the sweep's lists are nested too deep", f"nest {_DEEPEST} at most")
    if not isinstance(data, dict):
        return 1
    return math.prod(
        _count_values(hints(cls)[key], value, depth + 1)
        for key, value in data.items()
        if key in hints(cls)  # others are reported by name when the recipe is built
    )


def _count_values(hint: Any, value: Any, depth: int) -> int:
    require(depth <= _DEEPEST, "the sweep's lists are nested too deep", f"nest {_DEEPEST} at most")
    if _is_axis(hint, value):
        require(bool(value), "a list in the sweep is empty", "give every list at least one value")
        return sum(_count_values(hint, item, depth + 1) for item in value)
    part = None if typing.get_origin(hint) is tuple else part_type(hint)
    return 1 if part is None else _count(part, value, depth)


def _is_axis(hint: Any, value: Any) -> bool:
    """Whether a list stands where a single value is expected."""
    is_sequence = typing.get_origin(hint) is tuple
    return isinstance(value, list) and (
        not is_sequence or (bool(value) and isinstance(value[0], list))
    )


def _check_count(count: int) -> None:
    require(count >= 1, "the sweep lists no run", "write at least one recipe")
    require(
        count <= MAX_RUNS,
        f"the sweep has {count:,} runs, more than {MAX_RUNS}",
        "shorten a list or split the sweep",
    )


def _copy(data: Any) -> Any:
    return json.loads(json.dumps(data))


def _assign(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for name in parents:
        data = data[name]
    data[last] = _copy(value)


def _axes(cls: type, data: Any, path: tuple[str, ...]):
    """(path, values) for every list that stands where a single value is expected."""
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        if key not in hints(cls):
            continue  # reported by name when the recipe is built
        hint = hints(cls)[key]
        part = None if typing.get_origin(hint) is tuple else part_type(hint)
        if _is_axis(hint, value):
            yield (*path, key), value
        elif part is not None:
            yield from _axes(part, value, (*path, key))
