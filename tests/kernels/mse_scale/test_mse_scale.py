from __future__ import annotations

import pytest
import torch

from kernels.elements.values import FixedPoint, nearest
from kernels.mse_scale.operation import search_mse_scale
from qcore.errors import KernelError

FRACTIONS = [1.1 * 0.9**i for i in range(20)]


def example(element: FixedPoint, width: int):
    generator = torch.Generator().manual_seed(width)
    rows = torch.randn(90, width, generator=generator)
    rows *= torch.exp(torch.randn(90, width, generator=generator))
    start = rows.abs().amax(1) / 2 ** (element.high.bit_length() - 1)
    if element.low < 0:
        return rows, start, None
    return rows, start, torch.full((90,), float(element.high // 2))


def error(rows, scale, zero, element):
    offset = None if zero is None else zero[:, None]
    rounded = nearest(rows / scale[:, None], element, offset) * scale[:, None]
    return (rows.double() - rounded.double()).square().sum(1)


@pytest.mark.parametrize("element", [FixedPoint(-2, 1), FixedPoint(-8, 7), FixedPoint(0, 15)])
@pytest.mark.parametrize("width", [1, 33, 64, 2000])
def test_the_compiled_search_is_as_good_as_the_reference(element, width):
    rows, start, zero = example(element, width)
    scales = [
        search_mse_scale(rows, start, zero, element, FRACTIONS, implementation=implementation)
        for implementation in ("torch", "compiled")
    ]
    expected, found = (error(rows, scale, zero, element) for scale in scales)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)
    assert torch.isclose(*scales, rtol=1e-5, atol=0).float().mean() >= 0.95


@pytest.mark.parametrize("implementation", ["torch", "compiled"])
def test_nothing_that_was_tried_is_better_than_what_was_found(implementation):
    element = FixedPoint(-4, 3)
    rows, start, zero = example(element, 256)
    found = error(
        rows,
        search_mse_scale(rows, start, zero, element, FRACTIONS, implementation=implementation),
        zero,
        element,
    )
    for fraction in [1.0, *FRACTIONS]:
        assert (found <= error(rows, start * fraction, zero, element) * (1 + 1e-5)).all()
    plain = search_mse_scale(
        rows, start, zero, element, FRACTIONS, alternations=0, implementation=implementation
    )
    refined = error(rows, plain, zero, element)
    assert (found <= refined * (1 + 1e-5)).all()
    assert found.sum() < refined.sum()


@pytest.mark.parametrize("implementation", ["torch", "compiled"])
def test_a_row_of_zeros_keeps_its_scale(implementation):
    element = FixedPoint(-8, 7)
    scale = search_mse_scale(
        torch.zeros(3, 8), torch.ones(3), None, element, FRACTIONS, implementation=implementation
    )
    assert scale.tolist() == [1.0] * 3


def test_a_row_with_nan_leaves_the_others_their_scales():
    element = FixedPoint(-8, 7)
    rows, start, _ = example(element, 64)
    broken = rows.clone()
    broken[3, 5] = torch.nan
    for implementation in ("torch", "compiled"):
        expected = search_mse_scale(
            rows, start, None, element, FRACTIONS, implementation=implementation
        )
        found = search_mse_scale(
            broken, start, None, element, FRACTIONS, implementation=implementation
        )
        others = torch.arange(len(rows)) != 3
        assert torch.equal(found[others], expected[others])
        assert found[3] == start[3]  # nothing gains on NaN: what it started with


def test_scales_on_another_device_are_refused():
    rows, start, _ = example(FixedPoint(-8, 7), 64)
    with pytest.raises(KernelError, match="start is on meta, rows on cpu; move them to one"):
        search_mse_scale(rows, start.to("meta"), None, FixedPoint(-8, 7), FRACTIONS)
