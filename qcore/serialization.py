"""Plain JSON values to frozen dataclasses and back, strictly.

Type hints are the schema: Literal, bool, int, float, str, tuple[T, ...], dict[str, T], dataclasses
and `T | None`. Unknown fields, wrong types (a bool is no int) and missing values are refused with
the path at which they stand.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any, Literal, TypeVar

from qcore.errors import InvalidRecipe

T = TypeVar("T")

LARGEST = 2**53
"""Beyond it JSON's readers do not agree on what a whole number is."""


def parse_json(text: str) -> Any:
    """Parsed JSON text; a byte-order mark in front of it is no part of it.

    Raises:
        InvalidRecipe: not JSON; says where. NaN and infinities are no JSON.
    """
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidRecipe(
            f"not JSON: {str(error)[:200]}", remedy="check the file at that place"
        ) from error


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def to_plain(value: Any) -> Any:
    """Plain values for JSON. A field that is None, and None by default, is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: to_plain(getattr(value, item.name))
            for item in dataclasses.fields(value)
            if getattr(value, item.name) is not None or item.default is not None
        }
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], data: Any, where: str) -> T:
    """An instance of the dataclass `cls` from plain values.

    Raises:
        InvalidRecipe: an unknown field or a value of the wrong type; `where` begins its path.
    """
    return _build(cls, data, where)


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """The resolved type hints of a dataclass, by field."""
    return typing.get_type_hints(cls)


def part_type(hint: Any) -> type | None:
    """The dataclass inside `Part` or `Part | None`; None for plain values."""
    for choice in (hint, *typing.get_args(hint)):
        if dataclasses.is_dataclass(choice) and isinstance(choice, type):
            return choice
    return None


def require(holds: bool, fact: str, remedy: str) -> None:
    """Raise InvalidRecipe unless `holds`."""
    if not holds:
        raise InvalidRecipe(fact, remedy=remedy)


def _build(cls: type, data: Any, where: str) -> Any:
    require(
        isinstance(data, dict),
        f"{where} is {_shown(data)}, not an object",
        "write it as {…}",
    )
    names = [item.name for item in dataclasses.fields(cls)]
    unknown = sorted(set(data) - set(names))
    require(
        not unknown,
        f"unknown field{'s' if len(unknown) > 1 else ''} "
        f"{', '.join(ascii(name)[1:61].rstrip(chr(39)) for name in unknown[:5])} in {where}",
        f"known are {', '.join(names)}",
    )
    missing = [
        item.name
        for item in dataclasses.fields(cls)
        if item.name not in data
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    require(not missing, f"{where} lacks {', '.join(missing)}", "add it")
    return cls(
        **{key: _value(hints(cls)[key], value, f"{where}.{key}") for key, value in data.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` checked against a type hint: Literal, bool, int, float, str, tuple, dataclass."""
    shown = _shown(value)
    if isinstance(hint, types.UnionType):
        choices = typing.get_args(hint)
        if value is None:
            require(type(None) in choices, f"{where} is null", "give it a value")
            return None
        return _value(next(c for c in choices if c is not type(None)), value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        named_choices = ", ".join(json.dumps(choice) for choice in choices)
        require(value in choices, f"{where} is {shown}", f"choose {named_choices}")
        return value
    if origin is tuple:
        require(isinstance(value, list | tuple), f"{where} is {shown}", "write a list")
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value)
    if origin is dict:
        require(isinstance(value, dict), f"{where} is {shown}", "write it as {…}")
        inner = typing.get_args(hint)[1]
        return {key: _value(inner, item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise InvalidRecipe(f"{where} is {shown}", remedy="write a smaller number") from error
    require(type(value) is hint, f"{where} is {shown}", f"write {_NOUNS[hint]}")
    if hint is int:
        limit = f"write a number from −{LARGEST} to {LARGEST}"
        require(-LARGEST <= value <= LARGEST, f"{where} is {shown}", limit)
    if hint is float:
        require(math.isfinite(value), f"{where} is {shown}", "write a finite number")
    return value


def require_name(value: str, what: str) -> None:
    """Refuse a text that can name nothing and cannot be written as UTF-8.

    Raises:
        InvalidRecipe: it holds a NUL character or half a UTF-16 pair.
    """
    odd = [letter for letter in value if letter == "\0" or "\ud800" <= letter <= "\udfff"]
    require(
        not odd,
        f"{what} {_shown(value)} holds {ascii(odd[0])[1:-1] if odd else ''}, which no name has",
        "write it without",
    )


def _shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    try:
        return json.dumps(value, default=str)[:60]
    except (ValueError, TypeError, RecursionError):
        return f"a {type(value).__name__} that JSON has no word for"


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
