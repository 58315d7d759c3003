from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from kernels.elements.values import (
    E2M1,
    E2M3,
    E3M2,
    E4M3,
    E5M2,
    MXINT8,
    Minifloat,
    element_values,
    nearest,
)
from kernels.microscaling.operation import (
    dequantize_microscaling,
    fake_quantize_microscaling,
    quantize_microscaling,
    scales_of,
    shared_exponents,
)
from qcore.errors import KernelError
from tests.kernels.helpers_twins import DEVICE

ELEMENTS = [E2M1, E2M3, E3M2, E4M3, E5M2, MXINT8]
RULES = ["floor", "midmax"]
INF, NAN = float("inf"), float("nan")
THRESHOLDS = {
    E2M1: Fraction(7, 4),
    E2M3: Fraction(31, 16),
    E3M2: Fraction(15, 8),
    E4M3: Fraction(29, 16),  # 464 of 256: half way from 448 to 480
    E5M2: Fraction(15, 8),
    MXINT8: Fraction(255, 128),
}
"""Of midmax, over 2^emax: half way from the largest value to the least larger one at twice the
scale."""


def specified_exponent(largest: float, element, rule: str) -> int:
    """⌊log2⌋ by the bits of a Python float, and midmax's ⌈log2(a / threshold)⌉ exactly."""
    exponent = math.frexp(largest)[1] - 1
    if rule == "midmax":
        exponent += Fraction(largest) > THRESHOLDS[element] * Fraction(2) ** exponent
    return min(max(exponent - element.max_exponent, -127), 127)


def spread(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * torch.exp2(
        8 * torch.randn(*shape[:-1], 1, generator=generator)
    )


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_shared_exponents_follow_the_formula_at_every_float_exponent(element, rule):
    powers = torch.arange(-149, 128)
    mantissas = [1.0, 1.25, 1.5, 1.75, 1.8125, 1.875, 1.9375, 1.96875, 1.9921875, 1.99999988]
    mantissas = torch.tensor(mantissas)
    around = torch.cat([mantissas, mantissas.nextafter(torch.tensor(2.0))[1:-1]])
    largest = (2.0 ** powers[:, None].double() * around).float().flatten()
    largest = largest[(largest > 0) & largest.isfinite()]
    expected = [specified_exponent(float(a), element, rule) + 127 for a in largest]
    assert shared_exponents(largest, element, rule).tolist() == expected


def test_midmax_bumps_e2m1_exactly_above_seven_eighths_of_the_next_power():
    largest = torch.tensor([7.0, 7.0000005, 7.5, 6.0])
    assert shared_exponents(largest, E2M1, "floor").tolist() == [127] * 4
    assert shared_exponents(largest, E2M1, "midmax").tolist() == [127, 128, 128, 127]


@pytest.mark.parametrize("path", ["torch", "compiled", "triton"])
def test_midmax_raises_e4m3_above_the_middle_of_448_and_480(path):
    x = torch.zeros(4, 32, device=DEVICE if path == "triton" else "cpu")
    x[:, 5] = torch.tensor([490.0, 464.0, 464.00003, 448.0])
    found = fake_quantize_microscaling(x, E4M3, rule="midmax", implementation=path)
    assert found[:, 5].tolist() == [480.0, 448.0, 480.0, 448.0]
    floor = fake_quantize_microscaling(x, E4M3, implementation=path)
    assert floor[:, 5].tolist() == [448.0] * 4


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_midmax_leaves_a_maximum_as_close_as_the_better_of_two_exponents(element):
    mantissas = torch.linspace(1, 2, 4097)[:-1, None]
    x = torch.cat([mantissas * 2.0**element.max_exponent, torch.zeros(4096, 31)], 1)
    found = fake_quantize_microscaling(x, element, rule="midmax")[:, 0]
    floor = fake_quantize_microscaling(x, element)[:, 0]
    raised = 2 * nearest(x[:, 0] / 2, element)
    error = torch.minimum((floor - x[:, 0]).abs(), (raised - x[:, 0]).abs())
    if isinstance(element, Minifloat):  # of a fixed point the raised exponent halves the steps
        assert torch.equal((found - x[:, 0]).abs(), error)
    beyond = x[:, 0] > element_values(element)[-1]
    assert torch.equal((found - x[:, 0]).abs()[beyond], error[beyond])


def test_e8m0_codes_are_the_powers_of_two_and_255_is_nan():
    scales = scales_of(torch.arange(256))
    assert scales[:255].tolist() == [2.0 ** (e - 127) for e in range(255)]
    assert scales[255].isnan()


def test_a_block_computed_by_hand():
    block = torch.zeros(32)
    block[:8] = torch.tensor([12.0, 1.0, 1.5, -2.5, 0.5, -0.4, 15.9, -3.1])
    codes, shared = quantize_microscaling(block, E2M1)  # ⌊log2 15.9⌋ − 2 = 1: scale 2
    assert shared.tolist() == [128]
    assert codes[:8].tolist() == [7, 1, 2, 10, 0, 8, 7, 11]
    values = dequantize_microscaling(codes, shared, E2M1)
    assert values[:8].tolist() == [12.0, 1.0, 2.0, -2.0, 0.0, -0.0, 12.0, -3.0]


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_numbers_already_in_the_format_survive_at_every_scale(element):
    values = element_values(element)
    values = values[values.abs() < 2.0 ** (element.max_exponent + 1)]
    anchor = 2.0**element.max_exponent  # fixes the block's scale
    blocks = torch.full((math.ceil(len(values) / 31), 32), anchor)
    filled = torch.cat([values, values.new_zeros(len(blocks) * 31 - len(values))])
    blocks[:, 1:] = filled.view(-1, 31)
    lowest = -127
    highest = 127 - element.max_exponent  # past it float32 itself overflows
    for exponent in (lowest, lowest + 1, -126 - element.max_exponent, -1, 0, 1, highest - 1):
        if exponent < lowest:
            continue
        scaled = torch.ldexp(blocks.double(), torch.tensor(exponent)).float()
        found = fake_quantize_microscaling(scaled, element)
        assert torch.equal(found, scaled), exponent


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_fake_quantization_equals_quantize_then_dequantize_bit_for_bit(element, rule):
    x = spread(5, 7, 96)
    codes, shared = quantize_microscaling(x, element, rule=rule)
    assert codes.shape == x.shape
    assert shared.shape == (5, 7, 3)
    back = dequantize_microscaling(codes, shared, element)
    fake = fake_quantize_microscaling(x, element, rule=rule)
    if element is MXINT8:  # two's complement has one zero
        assert torch.equal(fake, back)
    else:
        assert torch.equal(fake.view(torch.int32), back.view(torch.int32))


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_errors_stay_within_half_a_step_or_the_saturated_top(element, rule):
    x = spread(64, 32, seed=3)
    scale = scales_of(quantize_microscaling(x, element, rule=rule)[1])
    steps = (x / scale).double()
    values = element_values(element).double()
    best = (steps[..., None] - values).abs().amin(-1)
    found = (fake_quantize_microscaling(x, element, rule=rule) / scale).double()
    assert torch.equal((found - steps).abs(), best)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_a_block_of_zeros_stays_zero_with_the_smallest_scale(element):
    x = torch.zeros(2, 64)
    x[1, 32:] = -0.0
    codes, shared = quantize_microscaling(x, element)
    assert shared.unique().tolist() == [0]
    assert dequantize_microscaling(codes, shared, element).abs().max() == 0
    assert torch.equal(fake_quantize_microscaling(x, element), x)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_scales_are_held_in_the_range_of_e8m0(element):
    tiny = torch.full((1, 32), 1e-45)
    codes, shared = quantize_microscaling(tiny, element)
    assert shared.item() == 0
    assert dequantize_microscaling(codes, shared, element).isfinite().all()
    huge = torch.full((1, 32), torch.finfo(torch.float32).max)
    codes, shared = quantize_microscaling(huge, element)
    assert shared.item() == 254 - element.max_exponent
    assert dequantize_microscaling(codes, shared, element).isfinite().all()


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("broken", [NAN, INF, -INF])
def test_a_block_with_nan_or_infinity_is_nan_and_its_neighbours_are_not(element, rule, broken):
    x = spread(3, 64)
    clean = fake_quantize_microscaling(x, element, rule=rule)
    x[1, 40] = broken
    codes, shared = quantize_microscaling(x, element, rule=rule)
    assert shared[1, 1] == 255
    assert codes[1, 32:].abs().max() == 0
    for found in (
        fake_quantize_microscaling(x, element, rule=rule),
        dequantize_microscaling(codes, shared, element),
    ):
        assert found[1, 32:].isnan().all()
        found[1, 32:] = clean[1, 32:]
        assert torch.equal(found, clean)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_input_is_worked_in_float32_and_returned_in_its_type(element, dtype):
    x = torch.randn(4, 2, 64, generator=torch.Generator().manual_seed(2)).to(dtype)
    found = fake_quantize_microscaling(x, element)
    assert found.dtype == dtype
    assert torch.equal(found, fake_quantize_microscaling(x.float(), element).to(dtype))
    if element is not MXINT8 or dtype == torch.float16:
        assert torch.equal(found.float(), fake_quantize_microscaling(x.float(), element))


def test_midmax_can_round_the_largest_float16_to_infinity():
    x = torch.full((1, 32), 65504.0, dtype=torch.float16)
    assert fake_quantize_microscaling(x, E2M1, rule="midmax").isinf().all()
    assert (fake_quantize_microscaling(x, E2M1) == 49152).all()


def test_empty_and_strided_inputs_are_served():
    assert fake_quantize_microscaling(torch.empty(0, 64), E2M1).shape == (0, 64)
    x = spread(6, 128)[::2, 32:96]
    assert torch.equal(
        fake_quantize_microscaling(x, E2M1), fake_quantize_microscaling(x.contiguous(), E2M1)
    )


def test_codes_and_scales_on_two_devices_are_refused():
    codes, shared = quantize_microscaling(torch.ones(2, 64), E2M1)
    with pytest.raises(KernelError, match="shared is on meta, codes on cpu; move them to one"):
        dequantize_microscaling(codes, shared.to("meta"), E2M1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 48), "block 32 does not divide 48"),
        (torch.zeros(2, 32, dtype=torch.float64), "cannot quantize torch.float64"),
        (torch.zeros(2, 32, dtype=torch.int32), "cannot quantize torch.int32"),
    ],
)
def test_widths_and_types_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        fake_quantize_microscaling(x, E2M1)
