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


def expand(data: Any) -> list[Recipe]:
    """All recipes of a sweep, in the order in which lists are written, duplicates left out.

    A list stands wherever a recipe has a single value or a whole part. `tasks` is a list already;
    to sweep it, write a list of lists. A list at the top holds several sweeps, one after the other.

    Raises:
        InvalidRecipe: as `Recipe.from_dict`, or more than `MAX_RUNS` runs; names the combination.
    """
    sweeps = data if isinstance(data, list) else [data]
    runs = [recipe for sweep in sweeps for recipe in _multiply(sweep)]
    _check_count(len(runs))
    unique: dict[str, Recipe] = {}
    for recipe in runs:
        unique.setdefault(recipe.digest, recipe)
    return list(unique.values())


def _multiply(data: Any) -> list[Recipe]:
    """Every combination, duplicates included."""
    axes = list(_axes(Recipe, data, ()))
    if not axes:
        return [Recipe.from_dict(data)]
    _check_count(math.prod(len(values) for _, values in axes))
    runs: list[Recipe] = []
    for choice in itertools.product(*(values for _, values in axes)):
        picked = _copy(data)
        for (path, _), value in zip(axes, choice, strict=True):
            _assign(picked, path, value)
        try:
            runs += _multiply(picked)  # a listed part may hold lists again
        except InvalidRecipe as error:
            at = ", ".join(
                f"{'.'.join(path)} = {json.dumps(value)}"
                for (path, _), value in zip(axes, choice, strict=True)
            )
            raise InvalidRecipe(f"at {at}: {error.fact}", remedy=error.remedy) from error
        _check_count(len(runs))
    return runs


def _check_count(count: int) -> None:
    require(count >= 1, "a list in the sweep is empty", "give every list at least one value")
    require(
        count <= MAX_RUNS,
        f"the sweep has {count} runs, more than {MAX_RUNS}",
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
        part = part_type(hints(cls)[key])
        is_sequence = typing.get_origin(hints(cls)[key]) is tuple
        if isinstance(value, list) and (not is_sequence or (value and isinstance(value[0], list))):
            yield (*path, key), value
        elif part is not None:
            yield from _axes(part, value, (*path, key))
