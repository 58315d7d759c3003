"""Pins as text: `down_proj=mxfp8_e4m3 3=mxfp4`, with blanks between them; empty without pins."""

from __future__ import annotations

from collections.abc import Sequence

from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.recipe.precision import Pin


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
                f"{(layer + '=' + name if name else layer)[:40]!r} names no layer and format",
                remedy="write down_proj=mxfp8_e4m3, with blanks between pins",
            )
    return tuple(Pin(layer, name) for layer, _, name in pairs)
