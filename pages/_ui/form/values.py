"""What the form's widgets hold, by key, and the knobs that they mean. Pure.

A widget's key is `knob.` and the knob's name; formats are split by sort, one row of
pills each. Numbers are typed, with commas between them; some knobs have a word beside them: `all`
questions of a task, a damping that is the method's `own`, `none` for no pins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pages._ui.form.budget_parts import pins_text, read_pins
from pages._ui.form.knob_parts import NONE
from pages._ui.form.knobs import Knobs
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
            values[key(item.name)] = numbers_text(item.name, chosen)
        else:
            values[key(item.name)] = [value for value in chosen if value != ""]
    return values


def numbers_text(name: str, values: Sequence[float | str | None]) -> str:
    """A knob's values as its text; one that is alone and says nothing leaves the box empty."""
    if tuple(values) == _SILENT.get(name):
        return ""
    return ", ".join(_number_text(name, value) for value in values)


def _number_text(name: str, value: float | str | None) -> str:
    if value is None:
        return "own"
    if isinstance(value, str):
        return value or "none"
    # All digits, so that a large seed comes back as it went.
    return "all" if name == "limits" and value == 0 else str(value).removesuffix(".0")


def read(session: Mapping[Any, Any], kept: Knobs) -> Knobs:
    """The widgets' values as knobs; a knob that is not drawn keeps its own."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Knobs):
        if item.name in ("weights", "activations"):
            values[item.name] = tuple(formats(session, item.name))
        elif item.name in _PARSERS:
            text = session.get(key(item.name))
            known = getattr(kept, item.name)
            values[item.name] = known if text is None else parse(item.name, text)
        else:
            values[item.name] = tuple(session.get(key(item.name), getattr(kept, item.name)))
    return Knobs(**values)


def parse(name: str, text: str) -> tuple[Any, ...]:
    """A knob's values, each once.

    Raises:
        InvalidRecipe: something between commas is no number that this knob takes.
    """
    label = name.replace("_", " ")
    if name in _SILENT and not text.strip():
        return _SILENT[name]
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


def _pins(text: str) -> str:
    return "" if text.lower() == "none" else pins_text(read_pins(text))


def _damping(text: str) -> float | None:
    return None if text.lower() == "own" else float(text)


_SILENT: dict[str, tuple[Any, ...]] = {"dampings": (None,), "pins": ("",)}
"""What an empty box stands for."""

_PARSERS: dict[str, Callable[[str], Any]] = {
    "budgets": float,
    "pins": _pins,
    "probe_windows": int,
    "probe_lengths": int,
    "training_steps": int,
    "training_batches": int,
    "training_lengths": int,
    "training_rates": float,
    "training_momenta": float,
    "training_penalties": float,
    "dampings": _damping,
    "expansions": float,
    "calibration_windows": int,
    "calibration_lengths": int,
    "evaluation_windows": int,
    "evaluation_lengths": int,
    "limits": _limit,
    "seeds": int,
}
