from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import pytest
import torch

from kernels.elements.values import (
    E2M1,
    E2M3,
    E3M2,
    E4M3,
    E5M2,
    MXINT8,
    FixedPoint,
    Minifloat,
    decode,
    element_values,
    encode,
    nearest,
)

MINIFLOATS = [E2M1, E2M3, E3M2, E4M3, E5M2]
INF = float("inf")


def specified_value(code: int, element: Minifloat) -> Fraction:
    """OCP MX v1.0, §5.3, computed exactly from the bits; finite codes only."""
    fraction = Fraction(code % (1 << element.mantissa), 1 << element.mantissa)
    field = (code >> element.mantissa) % (1 << element.exponent)
    sign = -1 if code & element.sign_bit else 1
    if field == 0:
        return sign * fraction * Fraction(2) ** (1 - element.bias)
    return sign * (1 + fraction) * Fraction(2) ** (field - element.bias)


@cache
def magnitudes(element: Minifloat) -> list[Fraction]:
    """Every finite value from 0 up, in the order of the codes."""
    finite = int(decode(torch.arange(element.sign_bit), element).isfinite().sum())
    return [specified_value(code, element) for code in range(finite)]


def nearest_by_definition(value: float, element: Minifloat) -> float:
    """The nearest of all finite values, the even code where two are as near."""
    size, values = abs(Fraction(value)), magnitudes(element)
    code = min(range(len(values)), key=lambda code: (abs(values[code] - size), code % 2))
    return math.copysign(float(values[code]), value)


@pytest.mark.parametrize(
    ("element", "bias", "max_exponent", "largest", "normal", "subnormal"),
    [
        (E4M3, 7, 8, 448.0, 2.0**-6, 2.0**-9),
        (E5M2, 15, 15, 57344.0, 2.0**-14, 2.0**-16),
        (E3M2, 3, 4, 28.0, 0.25, 0.0625),
        (E2M3, 1, 2, 7.5, 1.0, 0.125),
        (E2M1, 1, 2, 6.0, 1.0, 0.5),
    ],
)
def test_elements_have_the_ranges_of_the_specification(
    element, bias, max_exponent, largest, normal, subnormal
):
    values = element_values(element)
    assert (element.bias, element.max_exponent) == (bias, max_exponent)
    assert element.largest == largest == values.max() == -values.min()
    assert 2.0**element.min_exponent == normal
    assert values[values > 0].min() == subnormal


def test_mxint8_counts_in_64ths_and_leaves_minus_two_unwritten():
    assert MXINT8.max_exponent == 0
    assert element_values(MXINT8).tolist() == [k / 64 for k in range(-127, 128)]
    assert decode(torch.tensor([-128], dtype=torch.int8), MXINT8) == -2.0
    assert encode(nearest(torch.tensor([-2.0, -9.0]), MXINT8), MXINT8).tolist() == [-127, -127]


def test_e2m1_has_the_sixteen_values_everybody_knows():
    values = decode(torch.arange(16), E2M1).tolist()
    assert values[:8] == [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    assert values[8:] == [-0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
    assert torch.tensor(values).signbit().tolist() == [False] * 8 + [True] * 8


@pytest.mark.parametrize("element", MINIFLOATS, ids=str)
def test_every_code_has_the_specified_value_and_comes_back(element):
    codes = torch.arange(2 * element.sign_bit)
    values = decode(codes, element)
    finite = values.isfinite()
    expected = [float(specified_value(int(code), element)) for code in codes[finite]]
    assert values[finite].tolist() == expected
    assert torch.equal(encode(values[finite], element).long(), codes[finite])


@pytest.mark.parametrize("element", MINIFLOATS, ids=str)
def test_only_the_specified_codes_are_infinite_or_nan(element):
    values = decode(torch.arange(2 * element.sign_bit), element)
    nan = values.isnan().nonzero().flatten().tolist()
    infinite = values.isinf().nonzero().flatten().tolist()
    expected = {
        E4M3: ([0x7F, 0xFF], []),
        E5M2: ([0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF], [0x7C, 0xFC]),
    }
    assert (nan, infinite) == expected.get(element, ([], []))


@pytest.mark.parametrize("element", MINIFLOATS, ids=str)
def test_rounding_is_to_nearest_with_ties_to_even_everywhere(element):
    values = element_values(element)
    middles = (values[1:] + values[:-1]) / 2  # exact: one more bit
    up, down = torch.tensor(INF), torch.tensor(-INF)
    points = torch.cat([values, middles, middles.nextafter(up), middles.nextafter(down)])
    expected = [nearest_by_definition(p, element) for p in points.tolist()]
    assert nearest(points, element).tolist() == expected


@pytest.mark.parametrize("element", [*MINIFLOATS, MXINT8, FixedPoint(-8, 7)], ids=str)
def test_values_past_the_ends_saturate_and_nan_stays(element):
    values = element_values(element)
    top, bottom = float(values.max()), float(values.min())
    points = torch.tensor([top * 1.01, 1e30, INF, bottom * 1.01, -1e30, -INF, float("nan")])
    rounded = nearest(points, element)
    assert rounded[:6].tolist() == [top] * 3 + [bottom] * 3
    assert rounded[6].isnan()


@pytest.mark.parametrize("element", MINIFLOATS, ids=str)
def test_zeros_and_what_rounds_to_them_keep_their_sign(element):
    tiny = 2.0 ** (element.min_exponent - element.mantissa - 2)
    rounded = nearest(torch.tensor([0.0, -0.0, tiny, -tiny, 1e-45, -1e-45]), element)
    assert rounded.abs().max() == 0
    assert rounded.signbit().tolist() == [False, True] * 3
    assert encode(rounded, element).tolist() == [0, element.sign_bit] * 3


@pytest.mark.parametrize(
    ("element", "dtype"), [(E4M3, torch.float8_e4m3fn), (E5M2, torch.float8_e5m2)], ids=str
)
def test_eight_bit_elements_agree_with_torchs_own_types(element, dtype):
    generator = torch.Generator().manual_seed(0)
    spread = torch.exp2(torch.randn(50_000, generator=generator) * 6)
    points = torch.randn(50_000, generator=generator) * spread
    points = points.clamp(-element.largest, element.largest)
    expected = points.to(dtype)
    assert torch.equal(nearest(points, element), expected.float())
    assert torch.equal(encode(nearest(points, element), element), expected.view(torch.uint8))


def test_integers_round_halves_to_even():
    points = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 6.5, 7.5])
    assert nearest(points, FixedPoint(-8, 7)).tolist() == [-2, -2, 0, 0, 2, 2, 6, 7]


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_zero_point_shifts_which_integers_can_be_reached(bits):
    element = FixedPoint(0, (1 << bits) - 1)
    points = torch.arange(-300.0, 301.0)
    for zero in (0, 1, element.high // 2, element.high):
        offset = torch.tensor([float(zero)])
        rounded = nearest(points, element, offset)
        assert (rounded.min(), rounded.max()) == (-zero, element.high - zero)
        codes = encode(rounded, element, offset)
        assert codes.dtype == torch.uint8
        assert torch.equal(codes.float(), (points + zero).clamp(0, element.high))
        assert torch.equal(decode(codes, element, offset), rounded)


@pytest.mark.parametrize("element", [*MINIFLOATS, MXINT8], ids=str)
def test_strided_input_rounds_as_contiguous_input_does(element):
    points = torch.randn(12, 10, generator=torch.Generator().manual_seed(1)) * 3
    strided = points.T[::3]
    rounded = nearest(strided, element)
    assert torch.equal(rounded, nearest(strided.contiguous(), element))
    assert torch.equal(decode(encode(rounded, element), element), rounded)
