"""Every core is a Hadamard matrix."""

import pytest
import torch

from qcore.transforms.cores import (
    GOETHALS_SEIDEL,
    core,
    has_core,
    multiplier_orbits,
    prime_power,
    quadratic_differences,
)
from qcore.transforms.expansion import CORES

BELOW_260 = [v for v in range(4, 260, 4) if has_core(v)]


@pytest.mark.parametrize("order", BELOW_260)
def test_core_times_its_transpose_is_order_times_identity(order):
    matrix = core(order).to(torch.int32)

    assert matrix.abs().eq(1).all()
    assert torch.equal(matrix @ matrix.T, order * torch.eye(order, dtype=torch.int32))


def test_every_core_that_expansion_needs_exists():
    assert set(CORES) <= set(BELOW_260)


def test_only_four_multiples_of_four_below_260_are_missing():
    assert set(range(4, 260, 4)) - set(BELOW_260) == {116, 188, 232, 236}


@pytest.mark.parametrize("order", sorted(GOETHALS_SEIDEL))
def test_stored_signs_stand_only_where_no_paley_rule_reaches(order):
    assert prime_power(order - 1) is None or (order - 1) % 4 != 3
    assert prime_power(order // 2 - 1) is None or (order // 2 - 1) % 4 != 1


@pytest.mark.parametrize("q", [3, 5, 9, 25, 27, 49, 81, 121, 125])
def test_quadratic_character_is_that_of_a_field(q):
    matrix = quadratic_differences(q).to(torch.int64)
    ones = torch.ones(q, q, dtype=torch.int64)

    assert torch.equal(matrix.T, matrix if q % 4 == 1 else -matrix)
    assert matrix.sum(1).eq(0).all()
    assert torch.equal(matrix @ matrix.T, q * torch.eye(q, dtype=torch.int64) - ones)


def test_orbits_partition_the_residues_and_are_closed():
    orbits = multiplier_orbits(39, 16)

    assert sorted(x for orbit in orbits for x in orbit) == list(range(39))
    assert all({16 * x % 39 for x in orbit} == set(orbit) for orbit in orbits)


@pytest.mark.parametrize("order", [0, 3, 6, 116, 668, 2048 + 4])
def test_unknown_orders_are_refused(order):
    assert not has_core(order)
    with pytest.raises(ValueError, match=f"order {order}"):
        core(order)
