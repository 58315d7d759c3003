"""Plain JSON values to frozen dataclasses and back, strictly.

Type hints are the schema: Literal, bool, int, float, str, tuple[T, ...], dict[str, T], dataclasses
and `T | None`. Unknown fields, wrong types (a bool is no int) and missing values are refused with
the path at which they stand.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from typing import Any, Literal, TypeVar

from qcore.errors import InvalidRecipe

T = TypeVar("T")


def parse_json(text: str) -> Any:
    """Parsed JSON text.

    Raises:
        InvalidRecipe: not JSON; says where.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidRecipe(f"not JSON: {error}", remedy="check the file at that place") from error


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
        f"{where} is {json.dumps(data, default=str)[:60]}, not an object",
        "write it as {…}",
    )
    names = [item.name for item in dataclasses.fields(cls)]
    unknown = sorted(set(data) - set(names))
    require(
        not unknown,
        f"unknown field{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} in {where}",
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
        **{key: from_hint(hints(cls)[key], value, f"{where}.{key}") for key, value in data.items()}
    )


def from_hint(hint: Any, value: Any, where: str) -> Any:
    """`value` checked against a type hint: Literal, bool, int, float, str, tuple, dataclass.

    Raises:
        InvalidRecipe: a value of another type; `where` is its path.
    """
    shown = json.dumps(value, default=str)[:60]
    if isinstance(hint, types.UnionType):
        choices = typing.get_args(hint)
        if value is None:
            require(type(None) in choices, f"{where} is null", "give it a value")
            return None
        return from_hint(next(c for c in choices if c is not type(None)), value, where)
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
        return tuple(from_hint(typing.get_args(hint)[0], item, where) for item in value)
    if origin is dict:
        require(isinstance(value, dict), f"{where} is {shown}", "write it as {…}")
        inner = typing.get_args(hint)[1]
        return {key: from_hint(inner, item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, f"{where} is {shown}", f"write {_NOUNS[hint]}")
    return value


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
