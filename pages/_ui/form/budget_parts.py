"""Between a recipe's bit budget and the values that the form's knobs hold.

A set of formats is one value, written `mxfp4+mxfp8_e4m3`, and so is a set of pins, written
`down_proj=mxfp8_e4m3 3=mxfp4`: both can be swept like any other knob. The weights of a run with a
budget start in the narrowest format of its set, whatever runs without a budget are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pages._ui.form.knob_parts import NONE, distinct, one_or_many
from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.recipe import Pin, Precision, Recipe

if TYPE_CHECKING:
    from pages._ui.form.knobs import Knobs

PROBE_KNOBS = ("measures", "probe_windows", "probe_lengths")
"""What only methods that look at sensitivities ask."""

TRAINING_KNOBS = (
    *("training_steps", "training_batches", "training_lengths"),
    *("training_rates", "training_momenta", "training_penalties"),
)
"""What only dMX asks."""

BUDGET_KNOBS = (
    *("budgets", "budget_formats", "budget_objectives", "weightings", "sharings", "fusings"),
    *("pins", *PROBE_KNOBS, *TRAINING_KNOBS),
)
"""What only a run with a bit budget asks."""

LOOKING = ("kl", "knapsack")
"""The methods that look at sensitivities."""


def budget_values(recipes: Sequence[Recipe]) -> dict[str, tuple[Any, ...]]:
    """The budget's knobs; where none of the recipes has one, its defaults."""
    parts = [recipe.precision for recipe in recipes if recipe.precision] or [Precision()]
    default = [Precision()]
    counted = [part for part in parts if part.budget is not None] or default
    probes = [part.probe for part in parts if part.method in LOOKING] or [default[0].probe]
    trained = [part.training for part in parts if part.method == "dmx"] or [default[0].training]
    return {
        "budget_methods": distinct(r.precision.method if r.precision else NONE for r in recipes),
        "budgets": distinct(part.budget for part in counted),
        "budget_formats": distinct("+".join(part.formats) for part in parts),
        "budget_objectives": distinct(part.objective for part in parts),
        "weightings": distinct(part.weighting for part in parts),
        "sharings": distinct(part.shared for part in parts),
        "fusings": distinct(part.fused for part in parts),
        "pins": distinct(pins_text(part.pins) for part in parts),
        "measures": distinct(probe.measure for probe in probes),
        "probe_windows": distinct(probe.windows for probe in probes),
        "probe_lengths": distinct(probe.length for probe in probes),
        "training_steps": distinct(training.steps for training in trained),
        "training_batches": distinct(training.batch for training in trained),
        "training_lengths": distinct(training.length for training in trained),
        "training_rates": distinct(training.rate for training in trained),
        "training_momenta": distinct(training.momentum for training in trained),
        "training_penalties": distinct(training.penalty for training in trained),
    }


def budget_parts(knobs: Knobs, formats: str) -> list[dict[str, Any]]:
    """The recipe's part for one set of formats, by sort of method: each with its own knobs.

    Raises:
        InvalidRecipe: pins that are none.
    """
    pins = [[{"layer": p.layer, "format": p.format} for p in read_pins(t)] for t in knobs.pins]
    common = {
        "formats": formats.split("+"),
        "objective": one_or_many(knobs.budget_objectives),
        "weighting": one_or_many(knobs.weightings),
        "shared": one_or_many(knobs.sharings),
        "fused": one_or_many(knobs.fusings),
        "pins": one_or_many(pins),
    }
    probe = {
        "measure": one_or_many(knobs.measures),
        "windows": one_or_many(knobs.probe_windows),
        "length": one_or_many(knobs.probe_lengths),
    }
    training = {
        "steps": one_or_many(knobs.training_steps),
        "batch": one_or_many(knobs.training_batches),
        "length": one_or_many(knobs.training_lengths),
        "rate": one_or_many(knobs.training_rates),
        "momentum": one_or_many(knobs.training_momenta),
        "penalty": one_or_many(knobs.training_penalties),
    }
    budget = {"budget": one_or_many(knobs.budgets)}
    sorts: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (("uniform", "random"), budget),
        (LOOKING, {**budget, "probe": probe}),
        (("dmx",), {**budget, "training": training}),
        (("manual",), {"budget": None}),
    )
    parts = []
    for methods, own in sorts:
        if chosen := [method for method in knobs.budget_methods if method in methods]:
            parts.append({"method": one_or_many(chosen), **own, **common})
    return parts


def needless(knobs: Knobs) -> set[str]:
    """The knobs that no chosen method looks at."""
    methods = set(knobs.budget_methods) - {NONE}
    if not methods:
        return set(BUDGET_KNOBS)
    unused = set() if methods & set(LOOKING) else set(PROBE_KNOBS)
    unused |= set() if "dmx" in methods else set(TRAINING_KNOBS)
    unused |= {"budgets"} if methods == {"manual"} else set()
    return unused if NONE in knobs.budget_methods else unused | {"weights"}


def starting_formats(sets: Sequence[str]) -> list[str]:
    """The narrowest format of every set: what the weights of its runs start in."""
    return [min(chosen.split("+"), key=lambda name: FORMATS[name].bits) for chosen in sets]


def pins_text(pins: Sequence[Pin]) -> str:
    """`down_proj=mxfp8_e4m3 3=mxfp4`; empty without pins."""
    return " ".join(f"{pin.layer}={pin.format}" for pin in pins)


def read_pins(text: str) -> tuple[Pin, ...]:
    """The pins of such a text.

    Raises:
        InvalidRecipe: a word that is no pin.
    """
    pairs = [word.partition("=") for word in text.split()]
    for layer, _, name in pairs:
        if not layer or name not in FORMATS:
            raise InvalidRecipe(
                f"pins: {(layer + '=' + name if name else layer)[:40]!r} names no layer and format",
                remedy="write down_proj=mxfp8_e4m3, with blanks between pins",
            )
    return tuple(Pin(layer, name) for layer, _, name in pairs)
