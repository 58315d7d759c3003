"""What is wrong with single fields of a sweep, all at once, by path.

A recipe refuses at its first fault. A form wants every one, each where it was made: a value is at
fault when its part refuses it beside the part's defaults and beside the other values chosen,
whatever the fields say on which it depends, and would not refuse the same without it. Values that
are fine alone and not together are refused by the recipe, which names them.
"""

from __future__ import annotations

import itertools
from typing import Any

from qcore.errors import InvalidRecipe
from qcore.recipe.axes import Axes, counting
from qcore.recipe.recipe import Recipe
from qcore.recipe.relevance import applies, deciding, field, part_of, paths
from qcore.serialization import from_plain, to_plain


def faults_of(axes: Axes) -> dict[str, InvalidRecipe]:
    """The first refusal of every field that counts and cannot be as it is."""
    counted = counting(axes)
    found: dict[str, InvalidRecipe] = {}
    for path in filter(counted.__contains__, paths()):
        if not axes[path]:
            found[path] = InvalidRecipe("nothing is chosen", remedy="choose at least one")
            continue
        refusals = (_refusal(axes, counted, path, value) for value in axes[path])
        if refusal := next(filter(None, refusals), None):
            found[path] = refusal
    return found


def _refusal(axes: Axes, counted: set[str], path: str, value: Any) -> InvalidRecipe | None:
    """Why a value cannot stand in its part; None where it can in some way."""
    top = field(path).partition(".")[0]
    part = part_of(top)
    if part is None:
        return _built(Recipe, {path: value}, top)
    if path in deciding():
        return None  # what depends on it is at fault, or the whole recipe
    own = [other for other in paths() if other.startswith(f"{top}.") and other in counted]
    chosen = {other: axes[other][0] for other in own if axes[other] and other != path}
    decisive = [other for other in own if other in deciding() and axes[other]]
    refusals = []
    for values in itertools.product(*(axes[other] for other in decisive)):
        known = dict(zip(decisive, values, strict=True))
        if not applies(path, {**known, "rotation": True}):
            continue
        for around in ({}, {key: item for key, item in chosen.items() if applies(key, known)}):
            beside = {**around, **known}
            refusal = _built(part, {**beside, path: value}, top)
            if refusal is None:
                return None
            # What is refused without it too says nothing of it, but for a name that must be there.
            if path != field(path) or _built(part, beside, top) is None:
                refusals.append(refusal)
    return refusals[0] if refusals else None


def _built(cls: type, values: dict[str, Any], top: str) -> InvalidRecipe | None:
    data: dict[str, Any] = {}
    if values.get("precision.method") == "manual":
        data["budget"] = None
    for path, value in values.items():
        *above, name = field(path).split(".")
        inner = data
        for step in above[1:]:
            inner = inner.setdefault(step, {})
        inner[name] = to_plain(value)
    try:
        from_plain(cls, data, top)
    except InvalidRecipe as refusal:
        return refusal
    return None
