"""Rotation and rounding in one call: the composition, and its triton twin."""

from __future__ import annotations

import pytest
import torch

from kernels.dispatch import record_choices
from kernels.elements.values import E2M1, E4M3, MXINT8
from kernels.rotate_quantize.operation import rotate_and_quantize
from kernels.rotate_quantize.values import Integer, Microscaling
from qcore.errors import KernelError
from qcore.formats.coding import fake_quantize
from qcore.formats.format import named
from qcore.transforms.hadamard import block_rotation, hadamard_matrix, rotate, signs
from tests.kernels.helpers_twins import DEVICE, DTYPES, awkward, error, same_values

QUANTIZERS = [
    Integer(4, symmetric=True),
    Integer(4, symmetric=False),
    Integer(8, symmetric=True, group=32),
    Integer(4, symmetric=False, group=64),
    Microscaling(E2M1),
    Microscaling(E4M3, "midmax"),
    Microscaling(MXINT8),
]
CASES = [(16, 64, 64), (32, 90, 128), (64, 90, 128), (128, 200, 256)]
LARGE = [(32, 14336, 14336), (64, 8192, 10240), (256, 8192, 8192)] if DEVICE.type == "cuda" else []


@pytest.mark.parametrize(
    ("name", "quantizer"),
    [
        ("int4", Integer(4, symmetric=True)),
        ("int4_asym", Integer(4, symmetric=False)),
        ("mxfp4", Microscaling(E2M1)),
    ],
)
def test_it_is_what_the_rotation_and_the_format_make_one_after_the_other(name, quantizer):
    rotation = block_rotation(128, 32, seed=7)
    x = torch.randn(2, 5, 100, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = rotate_and_quantize(
        x, hadamard_matrix(32), quantizer, order=128, signs=signs(rotation, 100)
    )
    assert same_values(found, fake_quantize(rotate(x, rotation), named(name)))


def whole_numbers(rows: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Of a magnitude of its own in every row; sums of them are exact in whatever order."""
    generator = torch.Generator().manual_seed(width)
    x = torch.randint(-60, 61, (rows, width), generator=generator).float()
    x[0] = 0.0
    return (x * torch.exp2(torch.arange(rows) - 4.0)[:, None]).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
def test_the_twin_gives_the_references_values(quantizer, dtype):
    for block, n, order in [*CASES, *LARGE]:
        if dtype == torch.float32 and block not in (16, 64):
            continue  # 1/√32 is no float32, and blocks above 64 are torch's
        x, matrix = whole_numbers(5, n, dtype), hadamard_matrix(block)
        flips = torch.randint(2, (n,), generator=torch.Generator().manual_seed(n)) * 2 - 1
        given = {"order": order, "signs": flips}
        expected = rotate_and_quantize(x, matrix, quantizer, **given, implementation="torch")
        found = rotate_and_quantize(
            x.to(DEVICE), matrix, quantizer, **given, implementation="triton"
        )
        assert same_values(found, expected)


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
def test_on_any_numbers_few_features_feel_the_order_of_the_sums(quantizer):
    """One in a thousand sums may lie so close to a border that bfloat16 rounds it the other way."""
    x, matrix = awkward(16, 90, torch.bfloat16), hadamard_matrix(32)
    expected = rotate_and_quantize(x, matrix, quantizer, order=128, implementation="torch")
    found = rotate_and_quantize(
        x.to(DEVICE), matrix, quantizer, order=128, implementation="triton"
    ).cpu()
    same = (found == expected) | (found.isnan() & expected.isnan())
    assert same.float().mean() >= 0.999


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_blocks_that_are_no_power_of_two_serve_whole_tokens(dtype):
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(4)).to(dtype)
    four = Integer(4, symmetric=False)
    expected = rotate_and_quantize(x, hadamard_matrix(12), four, order=60, implementation="torch")
    found = rotate_and_quantize(
        x.to(DEVICE), hadamard_matrix(12), four, order=60, implementation="triton"
    )
    assert error(found, expected.double()) < 1e-6


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
@pytest.mark.parametrize("implementation", ["torch", "triton"])
def test_what_is_broken_becomes_nan_as_far_as_its_scale_reaches(implementation, poison):
    x = torch.ones(2, 96).bfloat16()
    x[0, 40] = poison
    for quantizer, broken in ((Integer(4, symmetric=False), slice(None)), (Microscaling(E2M1), 1)):
        y = rotate_and_quantize(
            x.to(DEVICE), hadamard_matrix(32), quantizer, implementation=implementation
        ).cpu()
        where = torch.zeros(2, 3, 32, dtype=torch.bool)
        where[0, broken] = True
        assert torch.equal(y.isnan(), where.view(2, 96))


def test_gradients_flow_through_the_composition():
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    with record_choices() as record:
        rotate_and_quantize(x, hadamard_matrix(32), Integer(4, symmetric=True)).sum().backward()
    first = torch.zeros(2, 64)  # the sum of a block is √32 times its first feature
    first[:, ::32] = 32**0.5
    torch.testing.assert_close(x.grad, first, rtol=0, atol=1e-5)
    assert "rotation with rounding" in {item.operation for item in record.counts()}


def test_strides_one_token_and_none():
    matrix, four = hadamard_matrix(16), Integer(4, symmetric=True)
    x = torch.randn(6, 48, generator=torch.Generator().manual_seed(6)).bfloat16()
    expected = rotate_and_quantize(x, matrix, four)
    wide = torch.stack((x, x), 1).to(DEVICE)
    found = rotate_and_quantize(wide[:, 1], matrix, four, implementation="triton")
    assert same_values(found, expected)
    assert same_values(
        rotate_and_quantize(wide[2, 1], matrix, four, implementation="triton"), expected[2]
    )
    assert rotate_and_quantize(
        wide[:0, 1], matrix, four, order=96, implementation="triton"
    ).shape == (0, 96)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": 100}, "block 32 does not divide 100"),
        ({"order": 32}, "64 features do not fit in 32"),
        ({"signs": torch.ones(63)}, r"\(63,\) signs do not match 64 features; pass one for each"),
        ({"quantizer": Integer(4, symmetric=True, group=48)}, "group 48 does not divide 64"),
        ({"x": torch.ones(2, 64).double()}, r"cannot quantize torch\.float64"),
    ],
)
def test_bad_input_is_refused_with_its_numbers(changes, words):
    given = {"x": torch.ones(2, 64), "quantizer": Microscaling(E2M1), **changes}
    x, quantizer = given.pop("x"), given.pop("quantizer")
    with pytest.raises(KernelError, match=words):
        rotate_and_quantize(x, hadamard_matrix(32), quantizer, **given)


def test_what_does_not_fit_is_left_to_the_composition():
    wide = torch.ones(1, 1 << 15, device=DEVICE).bfloat16()
    with pytest.raises(KernelError, match="32768 padded features share a scale, more than 16384"):
        rotate_and_quantize(
            wide, hadamard_matrix(32), Integer(4, symmetric=True), implementation="triton"
        )
    odd = torch.ones(1, 96, device=DEVICE).bfloat16()
    with pytest.raises(KernelError, match="groups of 32 do not line up with blocks of 12"):
        rotate_and_quantize(odd, hadamard_matrix(12), Microscaling(E2M1), implementation="triton")
