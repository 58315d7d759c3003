"""What the form's widgets hold, by key, and the knobs that they mean. Pure.

A widget's key is `knob.` and the knob's name; formats are split by sort, one row of pills each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pages._ui.knobs import NONE, Knobs
from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS

SORTS = {
    "none": [NONE],
    "symmetric": [n for n, f in FORMATS.items() if f.kind == "int" and f.symmetric][::-1],
    "asymmetric": [n for n, f in FORMATS.items() if f.kind == "int" and not f.symmetric][::-1],
    "mx": [n for n, f in FORMATS.items() if f.kind == "mx"],
}


def key(name: str) -> str:
    """The widget that asks for a knob."""
    return f"knob.{name}"


def formats(session: Mapping[Any, Any], part: str) -> list[str]:
    """The formats chosen for `weights` or `activations`, all sorts together."""
    return [name for sort in SORTS for name in session[key(f"{part}/{sort}")]]


def widget_values(knobs: Knobs) -> dict[str, Any]:
    """What every widget shows for these knobs, by its key."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Knobs):
        chosen = getattr(knobs, item.name)
        if item.name in ("weights", "activations"):
            for sort, names in SORTS.items():
                values[key(f"{item.name}/{sort}")] = [name for name in chosen if name in names]
        elif item.name in _PARSERS:
            values[key(item.name)] = ", ".join(_number_text(item.name, value) for value in chosen)
        else:
            values[key(item.name)] = [value for value in chosen if value != ""]
    return values


def _number_text(name: str, value: float) -> str:
    return "all" if name == "limits" and value == 0 else str(value)


def read(session: Mapping[Any, Any], kept: Knobs) -> Knobs:
    """The widgets' values as knobs; a knob that is not drawn keeps its own."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Knobs):
        if item.name in ("weights", "activations"):
            values[item.name] = tuple(formats(session, item.name))
        elif item.name in _PARSERS:
            text = session.get(key(item.name))
            known = getattr(kept, item.name)
            values[item.name] = known if text is None else _parse(item.name, text)
        else:
            values[item.name] = tuple(session.get(key(item.name), getattr(kept, item.name)))
    return Knobs(**values)


def _parse(name: str, text: str) -> tuple[Any, ...]:
    label = name.replace("_", " ")
    values = []
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        try:
            values.append(_PARSERS[name](part))
        except ValueError as error:
            raise InvalidRecipe(
                f"{label}: {part[:30]!r} is no number that fits",
                remedy="write numbers, separated by commas",
            ) from error
    return tuple(dict.fromkeys(values))


def _limit(text: str) -> int:
    return 0 if text.lower() == "all" else _positive(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_PARSERS: dict[str, Callable[[str], Any]] = {
    "dampings": float,
    "calibration_windows": int,
    "calibration_lengths": int,
    "evaluation_windows": int,
    "evaluation_lengths": int,
    "limits": _limit,
    "seeds": int,
}
