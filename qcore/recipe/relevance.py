"""Which of a recipe's fields count beside which others, stated once.

A group belongs to an INT format and an exponent rule to an MX one; permutation and expansion belong
to a rotation; PiSO's fields to PiSO; what rounding asks, to a rounding that looks at layer inputs.
A field that does not count is left out of a sweep, so that no run is asked for twice; one that
counts may still be refused: the recipe says so itself.

A path is written as in a recipe's JSON: `weights.format`, `precision.probe.windows`. A part that
may be left out has a path that says whether it is there: its first field, None where it is not
(`weights.format`), or, where that is a switch, the part itself (`rotation`, False or True).
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qcore.formats.format import FORMATS
from qcore.recipe.recipe import Recipe
from qcore.serialization import hints, part_type

Test = Callable[[Any], bool]


def _present(value: Any) -> bool:
    return value is not None and value is not False


def _is(*choices: Any) -> Test:
    return lambda value: value in choices


def _not(*choices: Any) -> Test:
    return lambda value: value not in choices


def _kind(kind: str) -> Test:
    return lambda value: value in FORMATS and FORMATS[value].kind == kind


RULES: dict[str, tuple[dict[str, Test], ...]] = {
    "model.name[folder]": ({"model.source": _is("folder")},),
    "model.name[hub]": ({"model.source": _is("hub")},),
    "model.revision": ({"model.source": _is("hub")},),
    "weights.group": ({"weights.format": _kind("int")},),
    "weights.scale_rounding": ({"weights.format": _kind("mx")},),
    "activations.group": ({"activations.format": _kind("int")},),
    "activations.scale_rounding": ({"activations.format": _kind("mx")},),
    "permutation": ({"rotation": _present},),
    "expansion": ({"rotation": _present},),
    "precision.budget": ({"precision.method": _not("manual")},),
    "precision.probe": ({"precision.method": _is("kl", "knapsack")},),
    "precision.training": ({"precision.method": _is("dmx")},),
    "scales": ({"weights.format": _present},),
    "scales.objective": ({"scales.method": _is("piso")},),
    "scales.grouping": ({"scales.method": _is("piso")},),
    "scales.refine": ({"scales.method": _is("piso")},),
    "scales.signed": ({"scales.method": _is("piso")},),
    "scales.storage": ({"weights.format": _kind("int")},),
    "rounding": ({"weights.format": _present},),
    "rounding.act_order": ({"rounding.method": _not("rtn")},),
    "rounding.damping": ({"rounding.method": _not("rtn")},),
    "rounding.inputs": (
        {"rounding.method": _not("rtn")},
        {"scales.method": _is("piso"), "scales.objective": _not("identity")},
    ),
    "rounding.interleaving": (
        {"rounding.method": _not("rtn")},
        {"scales.method": _is("piso"), "scales.objective": _not("identity")},
    ),
}
"""By path, or by the part that it lies in: alternatives, one of which must hold. Each says what
other paths' values must be; a path that says nothing passes."""


def applies(path: str, values: Mapping[str, Any]) -> bool:
    """Whether a field counts where others have these values."""
    lead = lead_of(path)
    if lead not in ("", path) and not _present(values.get(lead)):
        return False
    return all(
        any(
            all(test(values[asked]) for asked, test in needs.items() if asked in values)
            for needs in alternatives
        )
        for alternatives in _rules_of(path)
    )


@functools.cache
def _rules_of(path: str) -> tuple[tuple[dict[str, Test], ...], ...]:
    """What is said of a path, and of the parts that it lies in."""
    return tuple(
        alternatives
        for above, alternatives in RULES.items()
        if path == above or path.startswith(above + ".")
    )


def verdicts(path: str, value: Any) -> tuple[bool, ...]:
    """What all rules say of a value: values with equal verdicts bring the same fields with them."""
    tests = [
        needs[path] for alternatives in RULES.values() for needs in alternatives if path in needs
    ]
    return (_present(value), *(test(value) for test in tests))


@functools.cache
def deciding() -> frozenset[str]:
    """The paths on whose values other fields depend."""
    asked = {path for alternatives in RULES.values() for needs in alternatives for path in needs}
    return frozenset(asked | set(filter(None, map(lead_of, paths()))))


@functools.cache
def paths() -> tuple[str, ...]:
    """Every path of a language model's recipe, in the order of its fields; found from the types."""
    return tuple(path for path in _walk(Recipe, "") if not path.startswith("suffix"))


def _walk(cls: type, above: str) -> Iterator[str]:
    for item in dataclasses.fields(cls):
        path, part = f"{above}{item.name}", _part(cls, item.name)
        if part is None:
            yield from [kept for kept in RULES if kept.startswith(f"{path}[")] or [path]
            continue
        if may_be_absent(cls, item.name) and _first_is_switch(part):
            yield path
        yield from _walk(part, f"{path}.")


def _part(cls: type, name: str) -> type | None:
    """The dataclass that a field holds; None for plain values and for tuples of anything."""
    hint = hints(cls)[name]
    return None if typing.get_origin(hint) is tuple else part_type(hint)


def field(path: str) -> str:
    """The place in a recipe's JSON: a path without what is in brackets."""
    return path.partition("[")[0]


@functools.cache
def part_of(path: str) -> type | None:
    """The dataclass at a path; None where a value stands."""
    cls: type | None = Recipe
    for name in field(path).split("."):
        assert cls is not None
        cls = _part(cls, name)
    return cls


def hint_of(path: str) -> Any:
    """The type of what stands at a path."""
    above, _, name = field(path).rpartition(".")
    cls = part_of(above) if above else Recipe
    assert cls is not None
    return hints(cls)[name]


def may_be_absent(cls: type, name: str) -> bool:
    """Whether a field may be None."""
    return type(None) in typing.get_args(hints(cls)[name])


def _first_is_switch(part: type) -> bool:
    return hints(part)[dataclasses.fields(part)[0].name] is bool


@functools.cache
def lead_of(path: str) -> str:
    """The path that says whether the part of a field is there; empty where it always is."""
    top = path.partition(".")[0]
    part = _part(Recipe, top)
    if part is None or not may_be_absent(Recipe, top):
        return ""
    return top if _first_is_switch(part) else f"{top}.{dataclasses.fields(part)[0].name}"
