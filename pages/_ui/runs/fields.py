"""The recipe's fields of many runs: which of them differ, and their values as people read them.

A field that does not count in a run (a group beside an MX format) has no value there. Tags are a
field of their own, of which a run may have several values; so are the servers that could run it by
their documented rules (`qcore.export.rules`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from pages._ui import columns
from qcore.recipe.relevance import field, paths
from qcore.recipe.titles import text_label

TAGS, MODEL, DEVICE, METHOD = "tags", "model", "device", "method"
SOURCE, SERVERS = "source", "servers"
OWN = {
    METHOD: "Method",
    TAGS: "Tags",
    MODEL: "Model",
    DEVICE: "Device",
    SOURCE: "Source",
    SERVERS: "Servable by",
}
"""Fields of a run that are no fields of its recipe, with what they are called."""

_SHARED = ("evaluation.text", "evaluation.windows", "evaluation.length")
"""Runs that compare have these in common, or are told apart by them elsewhere."""
ABSENT = "–"

Values = Mapping[str, Mapping[str, Any]]
"""By run, by path."""


def label(path: str) -> str:
    """`Weights · format` for `weights.format`."""
    if path in OWN:
        return OWN[path]
    words = field(path).replace("_", " ").split(".")
    return " · ".join([words[0].capitalize(), *words[1:]])


def text(value: Any) -> str:
    """A value as people read it; a dash where the field does not count."""
    return ABSENT if value is None or value == "" else knob_value(value)


def knob_value(value: Any) -> str:
    """A recipe's value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(knob_value(item) for item in value) or "–"
    return str(value)


def varying(values: Values) -> list[str]:
    """The paths at which these runs differ, in the recipe's order."""
    seen = list(values.values())
    return [
        path
        for path in paths()
        if path not in _SHARED and len({text(one.get(path)) for one in seen}) > 1
    ]


def apart(
    titles: Sequence[str], values: Sequence[Mapping[str, Any]], models: Sequence[str] = ()
) -> list[str]:
    """Titles that tell runs apart which are shown together.

    Where there are several models, each title begins with its own; titles that stand for several
    recipes end with whatever differs among those: `W INT4 · GPTQ · absmax · seed 1`.

    Args:
        titles: one of each run.
        values: the recipe's value at every path that counts, of each run.
        models: the name of each run's network.
    """
    told = list(titles)
    if len(set(models)) > 1:
        told = [f"{model} · {title}" for model, title in zip(models, told, strict=True)]
    alike: dict[str, list[int]] = {}
    for place, title in enumerate(told):
        alike.setdefault(title, []).append(place)
    for places in alike.values():
        if len(places) > 1:
            for path in paths():
                said = [_named(path, values[place].get(path)) for place in places]
                if len(set(said)) > 1:
                    for place, value in zip(places, said, strict=True):
                        if value != ABSENT:
                            told[place] += f" · {_field_words(path)} {value}"
    return told


def _named(path: str, value: Any) -> str:
    return text_label(value) if value and path.endswith(".text") else text(value)


def _field_words(path: str) -> str:
    """`rounding damping` for `rounding.damping`."""
    return field(path).replace(".", " ").replace("_", " ")


def choices(table: pd.DataFrame, values: Values) -> list[str]:
    """What runs of a table can be filtered and coloured by: their own fields, then the recipe's."""
    own = [name for name in OWN if len({*columns.words(table, name)}) > 1]
    return [*own, *varying(values)]


def column(table: pd.DataFrame, values: Values, path: str) -> list[str]:
    """One field of every run of the table, as text."""
    if path in OWN:
        return [text(value) for value in columns.words(table, path)]
    return [text(values.get(run, {}).get(path)) for run in columns.words(table, "id")]


def several(value: str, path: str) -> Sequence[str]:
    """The values of a run's field: tags and servers are many, all others one."""
    return value.split(", ") if path in (TAGS, SERVERS) else (value,)


def matching(
    table: pd.DataFrame, values: Values, search: str, where: Mapping[str, Collection[str]]
) -> pd.DataFrame:
    """The runs that hold every word of the search, and one of the values of every field.

    Args:
        table: as `tables.runs` makes it.
        values: of its runs.
        search: words, in any order and case, in title, recipe, model, tags, note or id.
        where: by path, the values of which a run must have one; none chosen asks nothing.
    """
    keep = [True] * len(table)
    if words := search.casefold().split():
        said = zip(*(columns.words(table, name) for name in _SEARCHED), strict=True)
        keep = [all(word in " ".join(row).casefold() for word in words) for row in said]
    for path, wanted in where.items():
        if wanted:
            held = column(table, values, path)
            keep = [
                kept and any(one in wanted for one in several(value, path))
                for kept, value in zip(keep, held, strict=True)
            ]
    return table if all(keep) else table.loc[keep]


_SEARCHED = ("title", "recipe", "model", "tags", "note", "id")
