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
        return _decoder().decode(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise InvalidRecipe(
            "not JSON that anybody wrote: its lists and objects are nested too deeply",
            remedy="write it without so many brackets",
        ) from error
    except ValueError as error:
        raise InvalidRecipe(
            f"not JSON: {str(error)[:200]}", remedy="check the file at that place"
        ) from error


@functools.cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_no_number, parse_int=whole)


def whole(digits: str) -> int:
    """A whole number; the interpreter's own refusal of long ones advises its programmer."""
    if len(digits) > 1000:
        raise ValueError(f"a whole number of {len(digits)} digits, {digits[:12]}…")
    return int(digits)


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
    if not isinstance(data, dict):
        raise InvalidRecipe(f"{where} is {_shown(data)}, not an object", remedy="write it as {…}")
    known, needed = _fields(cls)
    if not data.keys() <= known.keys():
        unknown = sorted(set(data) - set(known))
        raise InvalidRecipe(
            f"unknown field{'s' if len(unknown) > 1 else ''} "
            f"{', '.join(ascii(name)[1:61].rstrip(chr(39)) for name in unknown[:5])} in {where}",
            remedy=f"known are {', '.join(known)}",
        )
    if not data.keys() >= needed:
        missing = [name for name in known if name in needed and name not in data]
        raise InvalidRecipe(f"{where} lacks {', '.join(missing)}", remedy="add it")
    return cls(
        **{
            key: value
            if _fits(known[key], value)
            else from_hint(known[key], value, f"{where}.{key}")
            for key, value in data.items()
        }
    )


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a plain type and in range, as nearly all are: the quick way."""
    kind = type(value)
    if kind is not hint:
        return False
    if kind is float:
        return math.isfinite(value)
    return kind is str or kind is bool or (kind is int and -LARGEST <= value <= LARGEST)


@functools.cache
def _fields(cls: type) -> tuple[dict[str, Any], set[str]]:
    """The type hints of a dataclass by field, and the fields that have no default."""
    fields = dataclasses.fields(cls)
    needed = {
        item.name
        for item in fields
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    return {item.name: hints(cls)[item.name] for item in fields}, needed


def from_hint(hint: Any, value: Any, where: str) -> Any:
    """`value` checked against a type hint: Literal, bool, int, float, str, tuple, dataclass.

    Raises:
        InvalidRecipe: a value of another type; `where` is its path.
    """
    if type(value) is hint:
        if hint is int and not -LARGEST <= value <= LARGEST:
            limit = f"write a number from −{LARGEST} to {LARGEST}"
            raise InvalidRecipe(f"{where} is {_shown(value)}", remedy=limit)
        if hint is float and not math.isfinite(value):
            raise InvalidRecipe(f"{where} is {_shown(value)}", remedy="write a finite number")
        return value
    kind, inner = _kind(hint)
    if kind == "optional":
        if value is None:
            return None
        return from_hint(inner, value, where)
    if kind == "dataclass":
        return _build(hint, value, where)
    if kind == "literal":
        if not any(value == choice and type(value) is type(choice) for choice in inner):
            choices = ", ".join(json.dumps(choice) for choice in inner)
            raise InvalidRecipe(f"{where} is {_shown(value)}", remedy=f"choose {choices}")
        return value
    if kind == "tuple" and isinstance(value, list | tuple):
        if inner is float and all(type(item) is float for item in value):
            if all(map(math.isfinite, value)):
                return tuple(value)
        elif inner is str and all(type(item) is str for item in value):
            return tuple(value)
        return tuple(from_hint(inner, item, where) for item in value)
    if kind == "dict" and isinstance(value, dict):
        return {key: from_hint(inner, item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise InvalidRecipe(
                f"{where} is {_shown(value)}", remedy="write a smaller number"
            ) from error
    if value is None:
        raise InvalidRecipe(f"{where} is null", remedy="give it a value")
    nouns = {"tuple": "a list", "dict": "it as {…}"}
    raise InvalidRecipe(
        f"{where} is {_shown(value)}", remedy=f"write {nouns.get(kind) or _NOUNS[hint]}"
    )


@functools.cache
def _kind(hint: Any) -> tuple[str, Any]:
    """What sort of type a hint is, and the type or choices inside it."""
    if isinstance(hint, types.UnionType):
        return "optional", next(c for c in typing.get_args(hint) if c is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return "dataclass", None
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "literal", inside
    if origin is tuple:
        return "tuple", inside[0]
    if origin is dict:
        return "dict", inside[1]
    return "plain", None


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
