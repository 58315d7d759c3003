"""A budget as a problem of whole numbers: units, what they may be, and what each choice spends.

A *unit* is what gets one format: a layer, or the layers of one site where servers fuse them (q, k
and v; gate and up). A pin of a layer is a pin of its unit. Of several, the most precise goes first:
a layer's own pin before a projection's before a block's; two equally precise ones that disagree
are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from qcore.errors import InvalidRecipe
from qcore.formats.format import named
from qcore.precision.counting import counted_bits, layer_shares
from qcore.precision.layers import LayerSize
from qcore.recipe.precision import Pin, Precision

TOLERANCE = Fraction(1, 20)
"""Bits of a budget that may be left over."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Layers that get one format.

    Attributes:
        layers: one, or several that are fused.
        pin: which pin fixes it; None where it is free.
    """

    layers: tuple[LayerSize, ...]
    pin: Pin | None = None

    @property
    def name(self) -> str:
        """Names of its layers, for messages."""
        return ", ".join(layer.name for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Window:
    """The range that may be spent, in units of 1 / `Problem.denominator`.

    Attributes:
        least: spending less leaves more than `TOLERANCE` bits over.
        most: spending more is not allowed.
    """

    least: int
    most: int


@dataclass(frozen=True)
class Problem:
    """Units and the bits that each of their choices adds to the mean.

    Attributes:
        units: in stored order.
        formats: from narrow to wide; a *choice* is one index into them for each unit.
        bits: by unit and format, in units of 1 / `denominator`.
        denominator: makes whole numbers of all shares.
    """

    units: tuple[Unit, ...]
    formats: tuple[str, ...]
    bits: tuple[tuple[int, ...], ...]
    denominator: int

    @cached_property
    def options(self) -> tuple[tuple[int, ...], ...]:
        """The formats that each unit may have: the pinned one, or all."""
        every = tuple(range(len(self.formats)))
        return tuple(
            every if unit.pin is None else (self.formats.index(unit.pin.format),)
            for unit in self.units
        )

    @property
    def narrowest(self) -> list[int]:
        """The choice that spends least."""
        return [allowed[0] for allowed in self.options]

    @property
    def widest(self) -> list[int]:
        """The choice that spends most."""
        return [allowed[-1] for allowed in self.options]

    def spent(self, choice: Sequence[int]) -> int:
        """Cost of a choice, in units of 1 / `denominator`."""
        return sum(row[index] for row, index in zip(self.bits, choice, strict=True))

    def mean(self, choice: Sequence[int]) -> float:
        """Mean bits of a choice."""
        return float(Fraction(self.spent(choice), self.denominator))

    def window(self, budget: float) -> Window:
        """The range that a budget allows.

        A choice is within the budget when its mean, as a float, is no more: 4.1 admits 41/10.

        Raises:
            InvalidRecipe: outside what pins and formats can reach; says the range.
        """
        rounded = Fraction(budget) + Fraction(math.ulp(budget)) / 2
        capacity = math.floor(rounded * self.denominator)
        capacity -= float(Fraction(capacity, self.denominator)) > budget
        low, high = self.spent(self.narrowest), self.spent(self.widest)
        pinned = sum(unit.pin is not None for unit in self.units)
        pins = f" with {pinned} pinned" if pinned else ""
        if capacity < low or capacity > high:
            raise InvalidRecipe(
                f"a budget of {budget:g} bits cannot be met: {len(self.units)} choices{pins} reach "
                f"{math.ceil(low / self.denominator * 1e4) / 1e4:g} to "
                f"{math.floor(high / self.denominator * 1e4) / 1e4:g} bits",
                remedy="choose a budget in that range, other formats, or fewer pins",
            )
        least = math.ceil((Fraction(budget) - TOLERANCE) * self.denominator)
        return Window(min(least, capacity), capacity)

    def by_layer(self, choice: Sequence[int]) -> dict[str, str]:
        """The format of every layer, by name, in stored order of units."""
        return {
            layer.name: self.formats[index]
            for unit, index in zip(self.units, choice, strict=True)
            for layer in unit.layers
        }


def problem_of(layers: Sequence[LayerSize], part: Precision, group: int | None = None) -> Problem:
    """The problem that a recipe's part poses on a network's layers.

    Raises:
        InvalidRecipe: pins that match nothing or contradict each other, or a format whose group
            does not divide a layer's width.
    """
    if not layers:
        raise InvalidRecipe(
            "there are no layers to divide a budget among", remedy="choose a model with layers"
        )
    formats = part.narrow_to_wide
    values = [named(name, group) for name in formats]
    shares = {
        layer.name: [share * counted_bits(layer, fmt, part) for fmt in values]
        for layer, share in zip(layers, layer_shares(layers, part), strict=True)
    }
    units = _units(layers, part)
    exact = [
        [sum((shares[x.name][at] for x in unit.layers), Fraction()) for at in range(len(values))]
        for unit in units
    ]
    denominator = math.lcm(*(value.denominator for row in exact for value in row))
    bits = tuple(tuple(int(value * denominator) for value in row) for row in exact)
    return Problem(units, formats, bits, denominator)


def _units(layers: Sequence[LayerSize], part: Precision) -> tuple[Unit, ...]:
    for pin in part.pins:
        if all(_precision(pin, layer) is None for layer in layers):
            raise InvalidRecipe(
                f"the pin {pin.layer!r} matches none of {len(layers)} layers",
                remedy=f"name a layer ({layers[0].name}), a projection ({layers[0].projection}) "
                f"or a block ({layers[0].block})",
            )
    members: dict[object, list[LayerSize]] = {}
    for layer in layers:
        members.setdefault(layer.site if part.fused else layer.name, []).append(layer)
    return tuple(Unit(tuple(unit), _pin(unit, part.pins)) for unit in members.values())


def _pin(unit: Sequence[LayerSize], pins: Sequence[Pin]) -> Pin | None:
    """The most precise of the pins that match one of the layers.

    Raises:
        InvalidRecipe: another one, just as precise, wants another format.
    """
    found = [
        (precision, pin)
        for layer in unit
        for pin in pins
        if (precision := _precision(pin, layer)) is not None
    ]
    if not found:
        return None
    best = min(precision for precision, _ in found)
    first, *others = [pin for precision, pin in found if precision == best]
    for other in others:
        if other.format != first.format:
            raise InvalidRecipe(
                f"{first.layer} is pinned to {first.format} and {other.layer} to {other.format}, "
                f"and {', '.join(layer.name for layer in unit)} share one format",
                remedy="pin them alike, or set fused to false",
            )
    return first


def _precision(pin: Pin, layer: LayerSize) -> int | None:
    """How closely a pin names a layer: 0 by name, 1 by projection, 2 by block, None not at all."""
    names = (layer.name, layer.projection, str(layer.block))
    return names.index(pin.layer) if pin.layer in names else None


def pinned(layers: Sequence[LayerSize], part: Precision) -> set[str]:
    """The layers that a pin fixes, those that are fused with a pinned one included."""
    named = {pin.layer for pin in part.pins}
    direct = [x for x in layers if {x.name, x.projection, str(x.block)} & named]
    sites = {layer.site for layer in direct} if part.fused else set()
    return {layer.name for layer in [*direct, *(x for x in layers if x.site in sites)]}
