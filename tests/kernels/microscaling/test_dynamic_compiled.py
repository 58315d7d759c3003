"""The compiled twins of dynamic quantization give the torch reference's bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from kernels.dispatch import record_choices
from kernels.elements.values import E2M1, E2M3, E3M2, E4M3, E5M2, MXINT8
from kernels.integer.operation import fake_quantize_integer
from kernels.microscaling.operation import fake_quantize_microscaling
from kernels.rows import SHARE

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
ELEMENTS = (E2M1, E2M3, E3M2, E4M3, E5M2, MXINT8)
WIDTH = 96


def bits(x):
    """The bit patterns, every NaN made the same one."""
    whole = x.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    return whole.view(torch.int32 if x.dtype == torch.float32 else torch.int16), x.isnan()


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(bits(found), bits(expected), strict=True))


def tokens(seed=0, rows=64, width=WIDTH):
    """Rows of every magnitude that float32 has, some one-sided, and the special ones."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator)
    x *= torch.exp2(torch.linspace(-149, 127, rows))[:, None]
    x[1::4] = x[1::4].abs()
    x[2::4] = -x[2::4].abs()
    special = torch.zeros(16, width)
    special[1] = -0.0
    special[2, 3] = torch.nan
    special[3, 4] = -torch.nan
    special[4, 5] = torch.inf
    special[5, 6] = -torch.inf
    special[6] = 1e-45
    special[7, ::2] = -1e-45
    special[8] = torch.finfo(torch.float32).max
    special[9] = -torch.finfo(torch.float32).max
    special[10, -1] = 1.0
    special[11] = torch.arange(width) - width // 2 + 0.5  # ties
    special[12] = torch.tensor([-0.0, 1e-30, -1e-30]).repeat(width // 3)
    special[13] = 7.0
    special[14, 0], special[14, 1] = torch.inf, -torch.inf
    special[15] = torch.finfo(torch.float16).max
    return torch.cat((x, special))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [None, 32, 3, 2])
def test_integers_have_the_references_bits(dtype, symmetric, group):
    x = tokens().to(dtype)
    for width in range(2, 9):
        found, expected = (
            fake_quantize_integer(
                x, width, symmetric=symmetric, group=group, implementation=implementation
            )
            for implementation in ("compiled", "torch")
        )
        assert found.dtype == dtype
        assert same(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", ["floor", "midmax"])
@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_microscaling_blocks_have_the_references_bits(dtype, rule, element):
    x = tokens().to(dtype)
    found, expected = (
        fake_quantize_microscaling(x, element, rule=rule, implementation=implementation)
        for implementation in ("compiled", "torch")
    )
    assert found.dtype == dtype
    assert same(found, expected)


def test_every_bfloat16_number_is_rounded_as_the_reference_does():
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    x = every[every.isfinite()].view(-1, 32)  # neighbours share a block
    shuffled = x.flatten()[torch.randperm(x.numel())].view(-1, 32)
    for given in (x, shuffled):
        for element in ELEMENTS:
            found, expected = (
                fake_quantize_microscaling(given, element, implementation=implementation)
                for implementation in ("compiled", "torch")
            )
            assert same(found, expected)
        found, expected = (
            fake_quantize_integer(given, 4, symmetric=False, implementation=implementation)
            for implementation in ("compiled", "torch")
        )
        assert same(found, expected)


@pytest.mark.parametrize("shape", [(0, 64), (64,), (1, 32), (2, 3, 5, 32), (7, 160)], ids=str)
def test_any_shape_is_served(shape):
    x = torch.randn(shape)
    for implementation in ("compiled", "torch"):
        assert (
            fake_quantize_integer(x, 4, symmetric=True, implementation=implementation).shape
            == shape
        )
    assert same(
        fake_quantize_microscaling(x, E2M1, implementation="compiled"),
        fake_quantize_microscaling(x, E2M1, implementation="torch"),
    )
    assert same(
        fake_quantize_integer(x, 4, symmetric=False, implementation="compiled"),
        fake_quantize_integer(x, 4, symmetric=False, implementation="torch"),
    )


def test_strided_input_is_served_and_left_alone():
    x = torch.randn(64, 2, 40).to(torch.bfloat16).permute(2, 1, 0)
    before = x.clone()
    found = fake_quantize_integer(x, 4, symmetric=False, implementation="compiled")
    assert same(
        found, fake_quantize_integer(x.contiguous(), 4, symmetric=False, implementation="torch")
    )
    assert torch.equal(x, before)
    contiguous = torch.randn(4, 64)
    before = contiguous.clone()
    fake_quantize_microscaling(contiguous, E2M1, implementation="compiled")
    assert torch.equal(contiguous, before)


def test_the_number_of_threads_changes_nothing(restored_threads):
    x = torch.randn(5 * SHARE // 64, 64)
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(fake_quantize_integer(x, 4, symmetric=False, implementation="compiled"))
    assert torch.equal(*found)
    assert torch.equal(
        found[0], fake_quantize_integer(x, 4, symmetric=False, implementation="torch")
    )


def test_threads_may_quantize_at_the_same_time():
    x = torch.randn(512, 64)
    expected = fake_quantize_microscaling(x, E2M1, implementation="torch")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fake_quantize_microscaling(x, E2M1), range(16)))
    assert all(torch.equal(each, expected) for each in found)


def test_the_cpu_is_served_by_the_compiled_twins():
    with record_choices() as record:
        fake_quantize_integer(torch.randn(2, 32), 4, symmetric=True)
        fake_quantize_microscaling(torch.randn(2, 32), E2M1)
    assert [(each.operation, each.implementation) for each in record.counts()] == [
        ("integer rounding", "compiled"),
        ("microscaling rounding", "compiled"),
    ]


@pytest.fixture
def restored_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
