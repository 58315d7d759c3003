"""Colours stand out from both backgrounds and stay apart."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

from pages._ui import palette
from tests.pages.helpers_colours import luminance


@pytest.mark.parametrize("background", ["#FFFFFF", "#0F141D"])
@pytest.mark.parametrize("method", palette.METHOD_COLOURS)
def test_every_method_stands_out_from_both_backgrounds(method, background):
    bright, dark = sorted((luminance(palette.colour(method)), luminance(background)))[::-1]
    assert (bright + 0.05) / (dark + 0.05) >= 3.5


def test_methods_stay_apart_without_red_green_vision():
    # Viénot's deuteranope: red and green collapse into one axis of linear light.
    def seen(colour):
        red, green, blue = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
        yellow = 0.29275 * red + 0.70725 * green
        short = -0.02234 * red + 0.02234 * green + blue
        return np.array([yellow, max(short, 0.0)]) ** (1 / 2.2)

    for one, other in itertools.combinations(("RTN", "GPTQ", "Qronos", "GPFQ"), 2):
        distance = np.abs(seen(palette.colour(one)) - seen(palette.colour(other))).max()
        assert distance > 0.08, (one, other)


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)))[::-1]
    return (bright + 0.05) / (dark + 0.05)


def over(colour: str, ground: str, opacity: float) -> str:
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a * opacity + b * (1 - opacity)):02X}" for a, b in pairs)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_text_has_a_contrast_of_four_and_a_half_to_its_ground(name):
    config = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
    theme = tomllib.loads(config.read_text(encoding="utf-8"))["theme"][name]
    grounds = [theme["backgroundColor"], theme["secondaryBackgroundColor"]]
    for ground in [*grounds, theme["sidebar"]["backgroundColor"]]:
        assert contrast(theme["textColor"], ground) >= 4.5
        assert contrast(theme["linkColor"], ground) >= 4.5
        # Captions: Streamlit writes them in the text's colour at 60 %.
        assert contrast(over(theme["textColor"], ground, 0.6), ground) >= 4.5
    assert contrast(theme["codeTextColor"], theme["codeBackgroundColor"]) >= 4.5
    assert contrast(theme["primaryColor"], theme["backgroundColor"]) >= 4.5
    assert contrast("#FFFFFF", palette.BUTTON) >= 4.5


def test_every_method_has_a_shape_of_its_own():
    assert palette.METHOD_SYMBOLS.keys() == palette.METHOD_COLOURS.keys()
    assert len({*palette.METHOD_SYMBOLS.values()}) == len(palette.METHOD_SYMBOLS)
