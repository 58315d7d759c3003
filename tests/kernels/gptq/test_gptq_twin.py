"""The triton twin of a GPTQ block against its reference."""

from __future__ import annotations

import pytest
import torch

from kernels.elements.values import encode, nearest
from kernels.gptq.operation import round_block
from qcore.errors import KernelError
from tests.kernels.gptq.test_gptq_block import ELEMENTS, example
from tests.kernels.helpers_twins import DEVICE

SHAPES = [(1, 1), (5, 63)] + ([(33, 65), (128, 1000)] if DEVICE.type == "cuda" else [])


def on_device(given):
    return [part.to(DEVICE) if isinstance(part, torch.Tensor) else part for part in given]


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_twin_gives_the_references_codes(element, shape):
    given = example(element, *shape)
    expected, expected_errors = round_block(
        given[0], given[1].clone(), *given[2:], implementation="torch"
    )
    values, errors = (
        part.cpu() for part in round_block(*on_device(given), implementation="triton")
    )
    same = (values == expected).cummin(0).values  # up to a channel's first other code
    assert same.float().mean() >= 0.999
    torch.testing.assert_close(errors[same], expected_errors[same], rtol=1e-4, atol=1e-5)


def test_a_block_longer_than_one_inner_step_of_the_reference():
    given = example(ELEMENTS[0], 40, 34)
    expected, _ = round_block(given[0], given[1].clone(), *given[2:], implementation="torch")
    values, _ = round_block(*on_device(given), implementation="triton")
    assert (values.cpu() == expected).float().mean() >= 0.999


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_without_errors_to_hear_of_codes_are_bit_exact(element):
    columns, _, _, scale, zero, group_of, element = example(element, 8, 70)
    columns[:, :20] = torch.tensor([0.0, 1e-30, -1e-30, 1e-45]).repeat(5)
    columns[:, 20], columns[:, 21] = 1e30, -1e30
    silent = torch.zeros(8, 8)
    given = (columns, torch.zeros(8, 70), silent, scale, zero, group_of, element)
    values = round_block(*on_device(given), implementation="triton")[0].cpu()
    offset = None if zero is None else zero[group_of]
    expected = nearest(columns / scale[group_of], element, offset)
    assert torch.equal(encode(values, element, offset), encode(expected, element, offset))


def test_strided_arguments_are_served_and_the_weights_left_alone():
    given = example(ELEMENTS[2], 6, 40)
    strided = [part.T.contiguous().T for part in given[:5]]
    before = strided[0].clone()
    values, errors = round_block(
        *on_device(strided), *on_device(given[5:]), implementation="triton"
    )
    expected = round_block(*on_device(given), implementation="triton")
    assert torch.equal(values, expected[0])
    assert torch.equal(errors, expected[1])
    assert torch.equal(strided[0], before)


def test_no_channels_are_none_afterwards():
    given = example(ELEMENTS[0], 4, 1)
    empty = [part[:, :0] for part in given[:2]]
    empty = on_device([*empty, given[2], given[3][:, :0], *given[4:]])
    values, errors = round_block(*empty, implementation="triton")
    assert values.shape == errors.shape == (4, 0)


def test_a_block_of_too_many_columns_is_left_to_torch():
    with pytest.raises(KernelError, match=r"cannot run triton on .*: more than 128 columns"):
        round_block(*on_device(example(ELEMENTS[0], 129, 2)), implementation="triton")


def test_tensors_on_two_devices_are_refused():
    columns, propagated, factor, scale, *rest = example(ELEMENTS[0], 4, 4)
    with pytest.raises(KernelError, match="scale is on meta, columns on cpu; move them to one"):
        round_block(columns, propagated, factor, scale.to("meta"), *rest)
