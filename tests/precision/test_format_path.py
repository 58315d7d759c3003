import itertools
import math

import pytest
import torch

from qcore.errors import InvalidRecipe
from qcore.formats.format import named
from qcore.precision.budget import assign
from qcore.precision.continuous import format_path, temperature
from qcore.recipe.precision import Precision
from tests.precision.factories import made_layers

TWO = ("mxfp4", "mxfp8_e4m3")
NARROW = ("mxfp4", "mxfp6_e2m3")
BENT = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")
STRAIGHT = ("mxfp4", "mxfp6_e3m2", "mxfp8_e4m3")


def widths(formats, offsets, heat=400.0):
    path = format_path(formats)
    return path.widths(path.gates(torch.tensor(offsets), heat))


@pytest.mark.parametrize("heat", [8.0, 37.0, 400.0])
def test_two_formats_are_the_papers_gate_and_widths(heat):
    for offset in (0.0, 0.3, 0.97, 1.0, 1.4, 2.0):
        beta = 2 / (1 + math.exp(-heat * (offset / 2 - 0.5)))
        found = widths(TWO, [offset], heat)[0].tolist()
        assert found == pytest.approx([2 + beta, 1 + beta], rel=1e-5)
        found = widths(NARROW, [offset], heat)[0].tolist()
        assert found == pytest.approx([2, 1 + beta], rel=1e-5)


@pytest.mark.parametrize("formats", [TWO, NARROW, BENT, STRAIGHT])
def test_hot_gates_stand_exactly_on_the_formats(formats):
    places = [2.0 * at / (len(formats) - 1) for at in range(len(formats))]
    expected = [[float(named(name).exponent), float(named(name).mantissa)] for name in formats]
    assert widths(formats, places).tolist() == expected
    assert widths(formats, [-place for place in places]).tolist() == expected


def test_the_bent_path_widens_the_mantissa_first_and_then_the_exponent():
    first, second = widths(BENT, [0.5, 1.5]).tolist()
    assert first == [2, 2]
    assert second == [3, 3]
    straight = widths(STRAIGHT, [0.5, 1.5]).tolist()
    assert straight == [[2.5, 1.5], [3.5, 2.5]]


def test_widths_grow_with_the_offset_and_stay_between_the_ends():
    for formats in (TWO, NARROW, BENT, STRAIGHT):
        for heat in (8.0, 50.0, 400.0):
            found = widths(formats, torch.linspace(0, 2.5, 101).tolist(), heat)
            assert bool((found.diff(dim=0) >= 0).all())
            assert bool((found >= torch.tensor([2.0, 1.0])).all())
            assert bool((found <= torch.tensor([4.0, 3.0])).all())


def test_an_offset_of_zero_feels_the_gradient_that_a_small_positive_one_feels():
    path = format_path(BENT)
    offsets = torch.tensor([0.0, 1e-6, -1e-6], requires_grad=True)
    path.gates(offsets, 8.0).sum().backward()
    assert offsets.grad is not None
    at_zero, above, below = offsets.grad.tolist()
    assert at_zero == pytest.approx(above, rel=1e-3)
    assert below == pytest.approx(-above, rel=1e-3)
    assert at_zero > 0.1


def test_the_temperature_is_held_for_three_fifths_and_ends_at_400():
    found = [temperature(step, 400) for step in range(400)]
    assert found[:240] == [8.0] * 240
    assert found[-1] == pytest.approx(400)
    ratios = [b / a for a, b in itertools.pairwise(found[239:])]
    assert ratios == pytest.approx([50 ** (1 / 160)] * 160)


def test_one_step_alone_is_at_the_first_temperature():
    assert temperature(0, 1) == 8.0


@pytest.mark.parametrize("steps", range(2, 12))
def test_the_last_of_several_steps_is_at_the_last_temperature(steps):
    assert temperature(steps - 1, steps) == pytest.approx(400)
    assert temperature(0, steps) == 8.0


@pytest.mark.parametrize("formats", [TWO, NARROW, BENT, STRAIGHT])
def test_the_nearest_format_is_the_one_that_assignments_take(formats):
    layers = made_layers(blocks=1)
    path = format_path(formats)
    for offset in (0.0, 0.49, 0.51, 0.99, -1.01, 1.49, 1.51, 3.0):
        name = path.nearest(offset)
        part = Precision("dmx", float(named(name).bits), formats, weighting="layers")
        offsets = dict.fromkeys((layer.name for layer in layers), offset)
        assert set(assign(layers, part, offsets=offsets).formats.values()) == {name}


def test_exactly_between_two_formats_the_narrower_one_is_taken():
    assert format_path(TWO).nearest(1.0) == "mxfp4"
    assert format_path(BENT).nearest(1.5) == "mxfp6_e2m3"


@pytest.mark.parametrize(
    ("formats", "fact"),
    [
        (("int4", "int8"), "int4 is none of them; choose among mxfp4, mxfp6_e2m3, mxfp6_e3m2"),
        (("mxfp4", "mxfp8_e5m2"), "mxfp8_e5m2 is none of them"),
        (("mxfp4", "mxint8"), "mxint8 is none of them"),
        (("mxfp4",), "1 format leaves dmx nothing to learn; allow at least 2"),
        (("mxfp6_e2m3", "mxfp6_e3m2"), "mxfp6_e3m2 is not mxfp6_e2m3 widened"),
    ],
)
def test_formats_without_a_path_between_them_are_refused(formats, fact):
    with pytest.raises(InvalidRecipe, match=fact):
        format_path(formats)
