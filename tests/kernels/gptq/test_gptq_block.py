from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from kernels.elements.values import E2M1, E2M3, E4M3, E5M2, MXINT8, FixedPoint, encode, nearest
from kernels.gptq.operation import round_block

ELEMENTS = [FixedPoint(-8, 7), FixedPoint(-2, 1), FixedPoint(0, 15), MXINT8, E2M1, E2M3, E4M3, E5M2]
SHAPES = [(1, 1), (5, 63), (16, 64), (33, 65), (128, 200)]


def example(element, block: int, out: int, groups: int = 3):
    generator = torch.Generator().manual_seed(block * 1000 + out)
    columns = torch.randn(block, out, generator=generator)
    propagated = torch.randn(block, out, generator=generator) * 0.1
    factor = torch.randn(block, block, generator=generator) / block**0.5  # all of it, to see
    scale = torch.exp2(torch.randint(-3, 0, (groups, out), generator=generator).float())
    zero = None
    if element == FixedPoint(0, 15):
        zero = torch.randint(0, 16, (groups, out), generator=generator).float()
    group_of = torch.randint(0, groups, (block,), generator=generator)
    return columns, propagated, factor, scale, zero, group_of, element


def by_definition(columns, propagated, factor, scale, zero, group_of, element):
    """The module's formula, one column at a time, sums in float64."""
    values, errors = torch.empty_like(columns), torch.empty_like(columns)
    for i, group in enumerate(group_of.tolist()):
        moved = factor[:i, i].double() @ errors[:i].double()
        target = (columns[i].double() + propagated[i].double() + moved).float()
        values[i] = nearest(target / scale[group], element, None if zero is None else zero[group])
        errors[i] = columns[i] - scale[group] * values[i]
    return values, errors


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("implementation", ["torch", "compiled"])
def test_a_block_is_rounded_by_the_stated_formula(element, shape, implementation):
    given = example(element, *shape)
    columns, propagated, *rest = given
    expected_values, expected_errors = by_definition(*given)
    values, errors = round_block(columns, propagated.clone(), *rest, implementation=implementation)
    # A column that rounds the other way moves all after it: compare channels up to their first.
    same = (values == expected_values).cummin(0).values
    assert same.float().mean() >= 0.999
    torch.testing.assert_close(errors[same], expected_errors[same], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_compiled_block_gives_the_references_codes(element, shape):
    columns, propagated, factor, scale, zero, group_of, element = example(element, *shape)
    offset = None if zero is None else zero[group_of]
    codes = [
        encode(
            round_block(
                columns,
                propagated.clone(),
                factor,
                scale,
                zero,
                group_of,
                element,
                implementation=implementation,
            )[0],
            element,
            offset,
        )
        for implementation in ("torch", "compiled")
    ]
    assert (codes[0] == codes[1]).float().mean() >= 0.999


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
def test_without_errors_to_hear_of_both_paths_are_bit_exact(element):
    columns, _, _, scale, zero, group_of, element = example(element, 40, 100)
    columns[:, :20] = torch.tensor([0.0, 1e-30, -1e-30, 1e-45]).repeat(5)
    columns[:, 20] = 1e30
    columns[:, 21] = -1e30
    silent = torch.zeros(40, 40)
    found = [
        round_block(
            columns,
            torch.zeros(40, 100),
            silent,
            scale,
            zero,
            group_of,
            element,
            implementation=implementation,
        )
        for implementation in ("torch", "compiled")
    ]
    offset = None if zero is None else zero[group_of]
    codes = [encode(values, element, offset) for values, _ in found]
    assert torch.equal(codes[0], codes[1])
    expected = nearest(columns / scale[group_of], element, offset)
    assert torch.equal(codes[0], encode(expected, element, offset))


@pytest.mark.parametrize("implementation", ["torch", "compiled"])
def test_the_factors_diagonal_and_lower_part_are_not_read(implementation):
    columns, propagated, factor, *rest = example(E2M1, 20, 30)
    expected = round_block(
        columns, propagated.clone(), factor.triu(1), *rest, implementation=implementation
    )
    found = round_block(columns, propagated.clone(), factor, *rest, implementation=implementation)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_strided_arguments_are_served():
    columns, propagated, factor, scale, zero, group_of, element = example(FixedPoint(0, 15), 24, 70)
    strided = [tensor.T.contiguous().T for tensor in (columns, propagated, factor, scale, zero)]
    found = round_block(*strided, group_of, element)
    expected = round_block(columns, propagated.clone(), factor, scale, zero, group_of, element)
    assert torch.equal(found[0], expected[0])


def test_the_compiled_block_is_deterministic_and_runs_beside_itself():
    columns, propagated, *rest = example(FixedPoint(-8, 7), 128, 300)
    with ThreadPoolExecutor(4) as pool:
        runs = list(
            pool.map(
                lambda _: round_block(
                    columns, propagated.clone(), *rest, implementation="compiled"
                ),
                range(8),
            )
        )
    for values, errors in runs[1:]:
        assert torch.equal(values, runs[0][0])
        assert torch.equal(errors, runs[0][1])


def test_the_weights_are_left_alone():
    given = example(FixedPoint(-8, 7), 40, 70)
    before = given[0].clone()
    for implementation in ("torch", "compiled"):
        round_block(given[0], given[1].clone(), *given[2:], implementation=implementation)
    assert torch.equal(given[0], before)
