from __future__ import annotations

import itertools
import math

import pytest
import torch

from kernels.continuous.operation import quantize_continuous
from kernels.continuous.values import Widths
from kernels.elements.values import E2M1, E2M3, E3M2, E4M3, midmax_carry
from kernels.microscaling.operation import fake_quantize_microscaling
from qcore.errors import KernelError

ELEMENTS = [E2M1, E2M3, E3M2, E4M3]
IMPLEMENTATIONS = ["torch", "compiled"]
RULES = ["floor", "midmax"]
BETWEEN = [(2.0, 1.7), (2.05, 1.05), (2.5, 1.5), (3.3, 2.3), (3.97, 2.97), (4.0, 3.0), (3.99, 3.0)]


def spread(*shape: int, seed: int = 0) -> torch.Tensor:
    """Rows of very different size, with outliers, zeros of both signs and exact ties."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    x *= torch.exp2(2 * torch.randn(shape, generator=generator))
    x[:, 3], x[:, 4], x[0] = 0.0, -0.0, 0.0
    x[1] = torch.arange(shape[1]) / 4
    x[2] *= 2.0**-140
    return x * torch.exp2((8 * torch.randn(shape[0], 1, generator=generator)).round())


def bits_of(exponent: float, mantissa: float) -> torch.Tensor:
    return torch.tensor([float(exponent), float(mantissa)], requires_grad=True)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_whole_widths_give_the_ocp_formats_to_the_last_bit(element, rule, implementation, dtype):
    x = spread(200, 96).to(dtype)
    x[5, 40], x[6, 2] = torch.inf, torch.nan
    bits = bits_of(element.exponent, element.mantissa).detach()
    found = quantize_continuous(x, bits, rule=rule, implementation=implementation)
    expected = fake_quantize_microscaling(x, element, rule=rule)
    assert found.dtype == dtype
    assert torch.equal(found.isnan(), expected.isnan())
    whole = ~expected.isnan()
    assert torch.equal(found[whole], expected[whole])
    assert torch.equal(found[whole].signbit(), expected[whole].signbit())


def test_constants_at_whole_widths_are_the_specifications():
    for element in ELEMENTS:
        widths = Widths(element.exponent, element.mantissa)
        assert widths.max_exponent == element.max_exponent
        assert widths.smallest == 2.0**element.min_exponent
        assert widths.largest == element.largest
        assert widths.stretch == 1
    assert [Widths(e.exponent, e.mantissa).capped for e in ELEMENTS] == [False] * 3 + [True]


def test_midmax_has_the_formats_thresholds_and_no_jump_between_them():
    for element in ELEMENTS:
        assert Widths(element.exponent, element.mantissa).carry("midmax") == midmax_carry(element)
    # Along dMX's path the largest value reaches the cap, 448, between E3M2 and E4M3.
    carries = [Widths(2 + at / 4096, 1 + at / 4096).carry("midmax") for at in range(8193)]
    steps = [abs(b - a) for a, b in itertools.pairwise(carries)]
    assert any(Widths(2 + at / 4096, 1 + at / 4096).capped for at in range(8193))
    assert max(steps) < 2**23 / 512


def by_definition(x: torch.Tensor, exponent: float, mantissa: float):
    """Blocks, steps, clipping levels and who is subnormal, from the module's formulas; float64."""
    blocks = x.double().reshape(-1, 32)
    e = blocks.abs().amax(1, keepdim=True).log2().floor()
    emax = 2.0 ** (exponent - 1)
    scale = 2 ** (e - emax)
    binade = (blocks / scale).abs().log2().floor()
    step = scale * 2 ** (binade.clamp_min(2 - emax) - mantissa)
    return blocks, step, scale * min(2**emax * (2 - 2**-mantissa), 448), binade < 2 - emax


@pytest.mark.parametrize("widths", BETWEEN, ids=str)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_between_the_formats_every_number_becomes_the_nearest_multiple_of_its_step(
    widths, implementation
):
    x = spread(300, 64, seed=1)[3:]
    blocks, step, level, _ = by_definition(x, *widths)
    found = (
        quantize_continuous(x, bits_of(*widths), implementation=implementation)
        .detach()
        .double()
        .reshape(-1, 32)
    )
    inside = found.abs() < level * (1 - 1e-6)
    steps = found / step
    assert float((steps - steps.round())[inside].abs().max()) < 1e-4
    assert bool(((found - blocks).abs() <= step * (0.5 + 1e-4))[inside].all())
    assert bool((found.abs() <= level * (1 + 1e-6)).all())
    assert bool((blocks.abs() > level - step)[~inside].all())


@pytest.mark.parametrize("widths", [*BETWEEN, (2.0, 1.0), (3.0, 2.0)], ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_the_compiled_twin_rounds_and_differentiates_as_the_reference_does(widths, rule):
    x, grad = spread(1000, 288), spread(1000, 288, seed=3).clamp(-1e3, 1e3)
    found = {}
    for implementation in IMPLEMENTATIONS:
        given, bits = x.clone().requires_grad_(), bits_of(*widths)
        rounded = quantize_continuous(given, bits, rule=rule, implementation=implementation)
        rounded.backward(grad)
        found[implementation] = rounded.detach(), given.grad, bits.grad
    for mine, expected in zip(found["compiled"], found["torch"], strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6 if expected.ndim == 1 else 0, atol=0)


def held(x: torch.Tensor, at: tuple[float, float]):
    """x̂ as a function of (E, M) with zones and residues as they are at one place; float64."""
    blocks, step, level, subnormal = by_definition(x, *at)
    residue = (blocks / step).round() - blocks / step
    clipped = (blocks / step).round().abs() * step > level
    e = blocks.abs().amax(1, keepdim=True).log2().floor()
    capped = Widths(*at).capped

    def function(exponent: float, mantissa: float) -> torch.Tensor:
        emax = 2.0 ** (exponent - 1)
        normal = step * 2 ** (at[1] - mantissa)
        delta = torch.where(subnormal, 2 ** (e + 2 - 2.0**exponent - mantissa), normal)
        top = 448.0 * 2 ** (e - emax) if capped else 2**e * (2 - 2**-mantissa)
        return torch.where(clipped, blocks.sign() * top, blocks + residue * delta).reshape(x.shape)

    return function


@pytest.mark.parametrize("widths", [(2.0, 1.7), (2.05, 1.05), (2.3, 1.4), (3.3, 2.3), (4.0, 3.0)])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_width_gradients_are_finite_differences_with_zones_and_residues_held(
    widths, implementation
):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 64, generator=generator) * torch.exp2(
        3 * torch.randn(256, 64, generator=generator)
    )
    grad = torch.randn(256, 64, generator=generator) / x.abs().amax(1, keepdim=True)
    bits = bits_of(*widths)
    quantize_continuous(x, bits, implementation=implementation).backward(grad)
    assert bits.grad is not None
    function, h = held(x, widths), 1e-5
    rounded = quantize_continuous(x, bits_of(*widths), implementation=implementation).detach()
    off = (function(*widths) - rounded).abs().reshape(-1, 32) / by_definition(x, *widths)[1]
    assert float(off.max()) < 1e-4
    exponent, mantissa = widths
    expected = [
        (grad.double() * (function(exponent + h, mantissa) - function(exponent - h, mantissa))),
        (grad.double() * (function(exponent, mantissa + h) - function(exponent, mantissa - h))),
    ]
    for found, terms in zip(bits.grad.tolist(), expected, strict=True):
        terms = terms / (2 * h)
        assert abs(found - float(terms.sum())) <= 1e-5 * float(terms.abs().sum())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_inside_the_range_the_mantissa_gradient_is_ln2_times_the_error(implementation):
    x = torch.rand(8, 64, generator=torch.Generator().manual_seed(2)) * 1.4 + 0.01
    grad = torch.linspace(-1, 1, x.numel()).view_as(x)
    bits = bits_of(2.0, 1.0)
    rounded = quantize_continuous(x, bits, implementation=implementation)
    rounded.backward(grad)
    assert bits.grad is not None
    expected = math.log(2) * float((grad * (x - rounded.detach())).double().sum())
    assert float(bits.grad[1]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("start", "end"), [((2, 1), (2, 2)), ((2, 2), (2, 3)), ((2, 1), (3, 2)), ((2, 2), (3, 2))]
)
def test_over_whole_bits_the_gradient_of_a_squared_error_adds_up_to_its_change(start, end):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1 << 12, 64, generator=generator)
    x *= torch.exp2(2 * torch.rand(1 << 12, 1, generator=generator))
    way, places = torch.tensor(end) - torch.tensor(start), 32
    total = 0.0
    for place in range(places):
        bits = (torch.tensor(start) + (place + 0.5) / places * way).requires_grad_()
        ((quantize_continuous(x, bits) - x).square().sum() / 2).backward()
        assert bits.grad is not None
        total += float(bits.grad @ way.float()) / places
    first, last = (
        float((quantize_continuous(x, bits_of(*ends)).detach() - x).square().sum() / 2)
        for ends in (start, end)
    )
    assert total == pytest.approx(last - first, rel=0.1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_pass_to_what_was_not_clipped(implementation):
    x = torch.tensor([[7.9, -7.9, 6.0, 6.9, 0.3, -0.1] + [0.0] * 26]).requires_grad_()
    quantize_continuous(x, bits_of(2, 1), implementation=implementation).sum().backward()
    assert x.grad is not None
    assert x.grad[0, :6].tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_come_back_in_the_inputs_type_and_only_where_asked_for(implementation):
    x = spread(4, 32).to(torch.bfloat16).requires_grad_()
    bits = bits_of(2.4, 1.4)
    quantize_continuous(x, bits, implementation=implementation).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    assert bits.grad is not None
    assert bits.grad.dtype == torch.float32
    frozen = spread(4, 32)
    quantize_continuous(frozen, bits, implementation=implementation).sum().backward()
    assert frozen.grad is None


@pytest.mark.parametrize("threads", [1, 3])
def test_the_compiled_sums_do_not_depend_on_threads(threads):
    x = spread(9000, 96)
    before = torch.get_num_threads()
    found = []
    for count in (threads, 2):
        torch.set_num_threads(count)
        bits = bits_of(2.4, 1.4)
        rounded = quantize_continuous(x, bits, implementation="compiled")
        rounded.backward(x.clamp(-1, 1))
        found.append((rounded.detach(), bits.grad))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_width_a_type_or_bits_out_of_range_are_refused():
    with pytest.raises(KernelError, match="block 32 does not divide 33"):
        quantize_continuous(torch.zeros(2, 33), bits_of(2, 1))
    with pytest.raises(KernelError, match=r"cannot quantize torch\.float64"):
        quantize_continuous(torch.zeros(2, 32, dtype=torch.float64), bits_of(2, 1))
    with pytest.raises(KernelError, match=r"4\.5 exponent bits are not between 1 and 4"):
        Widths(4.5, 3)
    with pytest.raises(KernelError, match="-1 mantissa bits are not between 0 and 10"):
        Widths(4, -1)
