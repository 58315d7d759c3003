"""A sweep is a recipe's JSON with lists where a recipe has one value, multiplied out."""

from __future__ import annotations

import itertools
import json
import typing
from typing import Any

from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.plain import hints, part_type, require
from qcore.recipe import Recipe

MAX_RUNS = 512
"""The largest sweep that one submission may expand to."""


def expand(data: Any) -> list[Recipe]:
    """All recipes of a sweep, in the order in which lists are written, duplicates left out.

    A list stands wherever a recipe has a single value or a whole part; a list of whole sweeps is
    their union. `tasks` is a list already; to sweep it, write a list of lists.

    Raises:
        InvalidRecipe: as `Recipe.from_dict`, or more than `MAX_RUNS` runs; names the combination.
    """
    if isinstance(data, list):
        recipes = {recipe.digest: recipe for part in data for recipe in expand(part)}
        _require_size(len(recipes))
        return list(recipes.values())
    axes = list(_axes(Recipe, data, ()))
    count = 1
    for _, values in axes:
        count *= len(values)
    _require_size(count)
    recipes: dict[str, Recipe] = {}
    for choice in itertools.product(*(values for _, values in axes)):
        picked = _copy(data)
        for (path, _), value in zip(axes, choice, strict=True):
            _assign(picked, path, value)
        # A list of whole parts may hold lists again: one more round, which ends at scalars.
        inner = expand(picked) if any(True for _ in _axes(Recipe, picked, ())) else None
        try:
            made = inner if inner is not None else [Recipe.from_dict(picked)]
        except QuantscopeError as error:
            if not axes:
                raise
            at = ", ".join(
                f"{'.'.join(path)} = {json.dumps(value)}"
                for (path, _), value in zip(axes, choice, strict=True)
            )
            raise InvalidRecipe(f"at {at}: {error.fact}", remedy=error.remedy) from error
        recipes.update({recipe.digest: recipe for recipe in made if recipe.digest not in recipes})
    return list(recipes.values())


def _require_size(count: int) -> None:
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
            continue  # `_build` names it with the known ones beside it
        part = part_type(hints(cls)[key])
        is_sequence = typing.get_origin(hints(cls)[key]) is tuple
        if isinstance(value, list) and (not is_sequence or (value and isinstance(value[0], list))):
            yield (*path, key), value
        elif part is not None:
            yield from _axes(part, value, (*path, key))
