"""What the form's widgets hold, and the axes that they mean. Pure.

Pills hold lists of values; boxes hold text, numbers with commas between them. Some knobs have a
word for None beside their numbers: `all` questions of a task, a damping that is the method's `own`,
an expansion of `0` per cent. A set of formats is one value, written `mxfp4+mxfp8_e4m3`, and so is a
set of pins, written `down_proj=mxfp8_e4m3 3=mxfp4`: both can be swept like any other knob.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from typing import Any

from pages._ui.form.control import Control
from qcore.errors import InvalidRecipe
from qcore.recipe.pins import pins_text, read_pins
from qcore.recipe.relevance import hint_of
from qcore.serialization import LARGEST

TYPED = ("numbers", "pins")
"""Kinds of control whose widget is a box of text."""


def shown(control: Control, values: Sequence[Any]) -> Any:
    """What the widget of a control holds for these values of its path."""
    if control.kind in TYPED:
        if tuple(values) == control.empty:
            return ""
        return ", ".join(_text(control, value) for value in values)
    if control.kind == "sets":
        return ["+".join(names) for names in values]
    if control.kind == "tasks":
        return list(dict.fromkeys(name for names in values for name in names))
    if control.kind == "words":
        return [value for value in values if value]
    return list(values)


def meant(control: Control, held: Any) -> tuple[Any, ...]:
    """The values that a widget means.

    Raises:
        InvalidRecipe: something typed is no value of this knob.
    """
    if control.kind in TYPED:
        return parse(control, held)
    if control.kind == "sets":
        return tuple(tuple(text.split("+")) for text in held)
    if control.kind == "tasks":
        return (tuple(held),)
    if control.kind == "words":
        return tuple(dict.fromkeys(word.strip() for word in held)) or control.empty or ()
    return tuple(held)


def _text(control: Control, value: Any) -> str:
    if control.kind == "pins":
        return pins_text(value) or "none"
    if value is None:
        return control.none
    # All digits, so that a large seed comes back as it went.
    return str(value).removesuffix(".0")


def parse(control: Control, text: str) -> tuple[Any, ...]:
    """The values in a box, each once.

    Raises:
        InvalidRecipe: something between commas is no value of this knob.
    """
    if control.empty is not None and not text.strip():
        return control.empty
    words = filter(None, (part.strip() for part in text.replace(";", ",").split(",")))
    read = _pins if control.kind == "pins" else _number
    return tuple(dict.fromkeys(read(control, word) for word in words))


def _pins(_: Control, word: str) -> Any:
    return () if word.lower() == "none" else read_pins(word)


def _number(control: Control, word: str) -> float | None:
    if control.none and word.lower() == control.none:
        return None
    kind = number_type(control.path)
    try:
        number = kind(word)
        fits = math.isfinite(number) and abs(number) <= LARGEST
    except (ValueError, OverflowError):
        number, fits = math.nan, False
    if not fits:
        what = "whole numbers" if kind is int else "numbers"
        also = f", or {control.none}" if control.none.isalpha() else ""
        raise InvalidRecipe(
            f"{word[:30]!r} is no number that fits",
            remedy=f"write {what}{also}, separated by commas",
        )
    return None if control.none == "0" and number == 0 else number


def number_type(path: str) -> type[int] | type[float]:
    """Whether a path's numbers are whole; found from the recipe's types."""
    hint = hint_of(path)
    return int if int in (hint, *typing.get_args(hint)) else float
