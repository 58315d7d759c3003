"""Colours stand out from both backgrounds and stay apart."""

from __future__ import annotations

import itertools

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
