"""A form is a sweep: for every path of a recipe, the values that it takes.

`Axes` maps each path (`weights.format`, `rounding.damping`, `precision.probe.windows`; see
`qcore.recipe.relevance`) to a tuple of values, in the order in which they were chosen. `sweep`
writes them as the JSON that the command line takes too: sorts of values that bring different fields
with them (INT and MX formats, PiSO and other scales, RTN and error correction) are kept apart, and
what does not count is left out, so that no run is asked for twice. A bit budget brings formats of
its own: its runs' weights start in the narrowest of them.

`axes_of` goes back: the values that a list of recipes uses, and a recipe's default where none says
anything. Going there and back gives the same recipes wherever they are a full product; otherwise
the product around them.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.recipe.recipe import Recipe
from qcore.recipe.relevance import (
    RULES,
    applies,
    deciding,
    field,
    hint_of,
    lead_of,
    may_be_absent,
    part_of,
    paths,
    verdicts,
)
from qcore.recipe.sweep import expand
from qcore.serialization import from_hint, to_plain

Axes = Mapping[str, tuple[Any, ...]]
"""The values that each path takes."""

METHOD = "precision.method"
_SET = "precision.formats"
_START = "weights.format"


def flatten(recipe: Recipe) -> dict[str, Any]:
    """A recipe's value at every path that it has; the fields of an absent part are left out."""
    values: dict[str, Any] = {}
    for path in paths():
        lead, part = lead_of(path), getattr(recipe, field(path).partition(".")[0])
        if part_of(path) is not None:
            values[path] = part is not None
        elif part is not None or path == lead:
            values[path] = None if part is None else _at(recipe, path)
    return {path: value for path, value in values.items() if path == field(path)} | {
        path: value
        for path, value in values.items()
        if path != field(path) and applies(path, values)
    }


def _at(found: Any, path: str) -> Any:
    for name in field(path).split("."):
        found = getattr(found, name)
    return found


@functools.cache
def defaults() -> Mapping[str, Any]:
    """The value at every path where nobody says anything: a recipe's, or an absent part's own."""
    plain = Recipe()
    values = flatten(plain)
    for path in paths():
        if path not in values:
            top, _, below = field(path).partition(".")
            part = part_of(top)
            assert part is not None
            values[path] = _at(
                part() if getattr(plain, top) is None else getattr(plain, top), below
            )
    return values


@functools.cache
def choices(path: str) -> tuple[Any, ...]:
    """The values that a field's type lists; empty where it lists none.

    `auto` is left out: it stands for another of them, which a recipe names. So is `suffix`: a
    network of another kind, with a form of its own.
    """
    hint = bool if part_of(path) is not None else hint_of(path)
    if hint is bool:
        return (False, True)
    return tuple(value for value in _literals(hint) if value not in ("auto", "suffix"))


def _literals(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Literal:
        yield from typing.get_args(hint)
    else:
        for inner in typing.get_args(hint):
            yield from _literals(inner)


def read_value(path: str, value: Any) -> Any:
    """A path's value from plain JSON. Raises InvalidRecipe for one of another type."""
    if value is None and path == lead_of(path) and part_of(path) is None:
        return None
    return from_hint(bool if part_of(path) is not None else hint_of(path), value, path)


def axes_of(recipes: Sequence[Recipe]) -> dict[str, tuple[Any, ...]]:
    """The values that these recipes use; what none of them says stands at its default.

    Raises:
        InvalidRecipe: one is of a network that predicts suffixes.
    """
    if any(recipe.suffix is not None for recipe in recipes):
        raise InvalidRecipe(
            "this form is for language models, and the recipe's network predicts suffixes",
            remedy="open it on the page Suffixes",
        )
    said: dict[str, dict[Any, None]] = {path: {} for path in paths()}
    for recipe in recipes:
        values = flatten(recipe)
        budgeted = recipe.precision is not None
        for path, value in values.items():
            if applies(path, values) and not (budgeted and path == _START):
                said[path].setdefault(value)
    return {path: tuple(found) or (defaults()[path],) for path, found in said.items()}


def recipes_of(axes: Axes) -> list[Recipe]:
    """Every run of the sweep. Raises InvalidRecipe for a combination that cannot be run."""
    return expand(sweep(axes))


def sweep(axes: Axes) -> Any:
    """The axes as sweep JSON: one object, or a list of them where parts do not mix.

    Raises:
        InvalidRecipe: a path that counts has no value; names it.
    """
    return _one_or_many([_Writer(own).object(known) for own, known in _sorts(axes)])


def counting(axes: Axes) -> set[str]:
    """The paths whose values count in any run of the sweep."""
    counted: set[str] = set()
    for own, known in _sorts(axes):
        _Writer(own, counted).object(known)
    if None not in axes[METHOD]:
        counted.discard(_START)
    return counted


def _budgets(axes: Axes) -> Iterator[Axes]:
    """The axes without a bit budget, and with one, for each set of formats that it may spend."""
    methods = axes[METHOD]
    if None in methods or not methods:
        yield {**axes, METHOD: methods and (None,)}
    if chosen := tuple(method for method in methods if method is not None):
        for names in axes[_SET]:
            start = min(names, key=lambda name: FORMATS[name].bits) if names else None
            yield {**axes, METHOD: chosen, _SET: (names,), _START: (start,)}
        if not axes[_SET]:
            yield {**axes, METHOD: chosen}


@functools.cache
def _crossings() -> tuple[tuple[str, str], ...]:
    """Every part whose fields depend on another part's, with the path that they depend on."""
    return tuple(
        (path.partition(".")[0], asked)
        for path, alternatives in RULES.items()
        for needs in alternatives
        for asked in needs
        if asked.partition(".")[0] != path.partition(".")[0]
    )


def _splitting() -> list[str]:
    """The paths on which other parts depend: each sort of their values stands in its own object."""
    asked = {asked for _, asked in _crossings()}
    return [path for path in paths() if path in asked]


def _is_tied(name: str) -> bool:
    """Whether a part depends on another, or another on it."""
    return any(name in (part, asked.partition(".")[0]) for part, asked in _crossings())


def _sorts(axes: Axes) -> Iterator[tuple[Axes, dict[str, Any]]]:
    """The axes by sorts of what other parts depend on, and a value of each sort by its path."""
    for own in _budgets(axes):
        yield from _split(own, {}, _splitting())


def _split(
    axes: Axes, known: dict[str, Any], over: Sequence[str]
) -> Iterator[tuple[Axes, dict[str, Any]]]:
    if not over:
        yield axes, known
        return
    path, *rest = over
    if not applies(path, known) or not axes[path]:
        yield from _split(axes, known, rest)
        return
    sorts: dict[tuple[bool, ...], list[Any]] = {}
    for value in axes[path]:
        sorts.setdefault(verdicts(path, value), []).append(value)
    for values in sorts.values():
        own = {**axes, path: tuple(values)}
        yield from _split(own, {**known, path: values[0]}, rest)


class _Writer:
    """Writes one object of a sweep, whose sorts are known.

    Args:
        axes: the values.
        counted: gathers the paths that are written; with it a path may be empty.
    """

    def __init__(self, axes: Axes, counted: set[str] | None = None):
        self._axes = axes
        self._counted = counted

    def object(self, known: dict[str, Any]) -> dict[str, Any]:
        """A recipe's JSON with lists in it; what no other part depends on varies slowest."""
        written = {}
        tops = {path.partition(".")[0] for path in map(field, paths())}
        names = (item.name for item in dataclasses.fields(Recipe) if item.name in tops)
        for name in sorted(names, key=_is_tied):
            if applies(lead_of(name) or name, known):
                value = self._value(name, known)
                if value is not None or Recipe.__dataclass_fields__[name].default is not None:
                    written[name] = value
        return written

    def _value(self, name: str, known: dict[str, Any]) -> Any:
        """A part as one object, or a list of them, one for each sort of what it depends on."""
        part = part_of(name)
        if part is None:
            return self._field(name)
        own = [path for path in paths() if path.partition(".")[0] == name and path in deciding()]
        return _one_or_many(
            [
                _Writer(axes, self._counted)._part(name, part, now)
                for axes, now in _split(self._axes, known, own)
            ]
        )

    def _part(self, name: str, part: type, known: dict[str, Any]) -> dict[str, Any] | None:
        if lead := lead_of(name):
            chosen = self._field(lead)
            if chosen is None or chosen is False:
                return None
        return self._fields(part, f"{name}.", known)

    def _fields(self, cls: type, above: str, known: dict[str, Any]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            path = above + item.name
            if part := part_of(path):
                if applies(path, known):
                    written[item.name] = self._fields(part, f"{path}.", known)
                continue
            counts = [own for own in paths() if field(own) == path and applies(own, known)]
            if counts:
                written[item.name] = self._field(counts[0])
            elif may_be_absent(cls, item.name) and item.default is not None:
                written[item.name] = None
        return written

    def _field(self, path: str) -> Any:
        if self._counted is not None:
            self._counted.add(path)
        values = self._axes[path]
        if not values and self._counted is None:
            raise InvalidRecipe(f"{path}: nothing is chosen", remedy="choose at least one")
        return to_plain(_one_or_many(values))


def _one_or_many(values: Iterable[Any]) -> Any:
    """A single value stands for itself: a sweep of one is a plain recipe."""
    many = list(values)
    return many[0] if len(many) == 1 else many
