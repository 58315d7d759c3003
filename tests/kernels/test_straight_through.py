"""Gradients of dynamic rounding."""

from __future__ import annotations

import pytest
import torch

from kernels.elements.values import E2M1, MXINT8
from kernels.integer.operation import fake_quantize_integer
from kernels.microscaling.operation import fake_quantize_microscaling
from kernels.straight_through import replace_forward
from tests.kernels.helpers_twins import DEVICE


def gradient(x, quantize):
    """Of Σ wᵢ x̂ᵢ with w = 1, 2, 3 …: what each element passes on, divided by its w."""
    x = x.clone().to(DEVICE).requires_grad_()
    weights = torch.arange(1.0, x.numel() + 1, device=DEVICE).view(x.shape)
    (quantize(x).float() * weights).sum().backward()
    assert x.grad is not None
    return (x.grad.float() / weights).cpu()


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_symmetric_integers_pass_every_gradient(implementation):
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    x[1] = 0.0
    found = gradient(
        x, lambda x: fake_quantize_integer(x, 4, symmetric=True, implementation=implementation)
    )
    assert torch.equal(found, torch.ones(3, 32))


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_asymmetric_integers_stop_what_the_zero_point_pushed_out_of_range(implementation):
    x = torch.tensor([[-0.49, 14.51, 1.0, 0.0], [-2.5, 12.5, 1.0, 0.0], [-1.51, 13.49, 1.0, 0.0]])
    # Scales 1; zero points 0, 2 (half to even) and 2. In the first row 14.51 rounds to 15, the
    # last code; in the last one 13.49 rounds to 13 and 13 + 2 is the last code, too.
    found = gradient(
        x, lambda x: fake_quantize_integer(x, 4, symmetric=False, implementation=implementation)
    )
    assert torch.equal(found, torch.ones(3, 4))
    x = torch.tensor([[-1.5, 13.5, 1.0, 0.0]])  # scale 1, zero point 2: 13.5 rounds to 14, code 16
    found = gradient(
        x, lambda x: fake_quantize_integer(x, 4, symmetric=False, implementation=implementation)
    )
    assert torch.equal(found, torch.tensor([[1.0, 0.0, 1.0, 1.0]]))


@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_microscaling_stops_what_saturates(implementation):
    x = torch.full((1, 32), 0.25)
    x[0, :4] = torch.tensor([7.0, -6.5, 6.0, -6.0])  # floor: scale 1, the largest value is 6
    found = gradient(
        x, lambda x: fake_quantize_microscaling(x, E2M1, implementation=implementation)
    )
    expected = torch.ones(1, 32)
    expected[0, :2] = 0.0
    assert torch.equal(found, expected)
    x[0, 0] = 7.5  # more than half way to 8: midmax takes scale 2, where nothing saturates
    found = gradient(
        x,
        lambda x: fake_quantize_microscaling(x, E2M1, rule="midmax", implementation=implementation),
    )
    assert torch.equal(found, torch.ones(1, 32))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_come_in_the_inputs_type(dtype):
    x = torch.randn(2, 32, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    fake_quantize_microscaling(x, MXINT8).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_broken_rows_pass_nothing():
    x = torch.ones(3, 32)
    x[0, 3], x[1, 3] = torch.nan, torch.inf
    for quantize in (
        lambda x: fake_quantize_integer(x, 4, symmetric=True),
        lambda x: fake_quantize_integer(x, 4, symmetric=False),
        lambda x: fake_quantize_microscaling(x, E2M1),
    ):
        found = gradient(x, quantize)
        assert torch.equal(found, torch.tensor([0.0, 0.0, 1.0])[:, None].expand(3, 32))


def test_without_a_gradient_nothing_is_kept():
    x = torch.ones(2, 32, requires_grad=True)
    with torch.no_grad():
        assert fake_quantize_integer(x, 4, symmetric=True).grad_fn is None


def test_replace_forward_shows_one_tensor_and_sends_the_gradient_to_the_other():
    x = torch.tensor([0.3, 0.7], requires_grad=True)
    shown = replace_forward(x, x.detach().round())
    assert shown.tolist() == [0.0, 1.0]
    shown.backward(torch.tensor([2.0, 3.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 3.0]
