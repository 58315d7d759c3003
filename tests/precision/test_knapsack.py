import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.precision import knapsack, relaxation
from qcore.precision.knapsack import Knapsack


@st.composite
def instances(draw):
    """Up to 6 units of up to 4 options; costs of any sign, in no order; some weights far apart."""
    unit = draw(st.sampled_from((1, 3, 7, 1000)))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    weights = [[unit * draw(st.integers(0, 40)) for _ in range(size)] for size in sizes]
    costs = [[draw(st.integers(-50, 200)) / 16 for _ in range(size)] for size in sizes]
    return weights, costs


def every_choice(weights, costs):
    """(weight, cost) of every choice."""
    options = [list(zip(*unit, strict=True)) for unit in zip(weights, costs, strict=True)]
    return [
        (sum(weight for weight, _ in picked), math.fsum(cost for _, cost in picked))
        for picked in itertools.product(*options)
    ]


def totals(weights, costs, choice):
    return (
        sum(row[at] for row, at in zip(weights, choice, strict=True)),
        math.fsum(row[at] for row, at in zip(costs, choice, strict=True)),
    )


@settings(max_examples=150)
@given(instances(), st.sampled_from((knapsack.CELLS, 1, 2, 5, 12)))
def test_every_capacity_has_the_cost_of_brute_force_whatever_the_grid(instance, cells):
    weights, costs = instance
    known = every_choice(weights, costs)
    prepared = Knapsack(weights, costs, cells=cells)
    for capacity in {weight for weight, _ in known} | {max(known)[0] + 1}:
        found = prepared.solve(capacity)
        spent, cost = totals(weights, costs, found.choice)
        assert spent <= capacity
        assert cost == found.cost == found.bound
        assert cost == min(cost for weight, cost in known if weight <= capacity)


@given(instances(), st.integers(1, 12))
def test_without_room_for_a_search_the_choice_fits_and_the_bound_holds(instance, cells):
    weights, costs = instance
    known = every_choice(weights, costs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relaxation, "STATES", 0)
        for capacity in {weight for weight, _ in known}:
            found = Knapsack(weights, costs, cells=cells).solve(capacity)
            best = min(cost for weight, cost in known if weight <= capacity)
            spent, cost = totals(weights, costs, found.choice)
            assert spent <= capacity
            assert cost == found.cost
            assert found.bound - 1e-9 <= best <= found.cost


def test_large_instances_have_one_answer_on_any_grid():
    draw = random.Random(5)
    for _ in range(3):
        sizes = [draw.randrange(1000, 20000) for _ in range(40)]
        weights = [[4 * size, 6 * size, 8 * size] for size in sizes]
        costs = [[10 ** draw.uniform(-5, -2) * 4.0**-at for at in range(3)] for _ in weights]
        capacity = int(5.3 * sum(sizes))
        exact = Knapsack(weights, costs, cells=1 << 23).solve(capacity)
        assert exact.bound == exact.cost
        for cells in (100, 4096):
            found = Knapsack(weights, costs, cells=cells).solve(capacity)
            assert found.cost == found.bound == pytest.approx(exact.cost, rel=1e-12)


def test_a_heavier_option_that_costs_more_is_never_taken():
    assert Knapsack([[0, 5, 9]], [[1.0, 2.0, 0.5]]).solve(8).choice == (0,)
    assert Knapsack([[0, 5, 9]], [[1.0, 2.0, 0.5]]).solve(9).choice == (2,)


def test_of_equally_good_choices_the_lightest_is_taken():
    assert Knapsack([[0, 4], [0, 4]], [[1.0, 1.0], [3.0, 2.0]]).solve(100).choice == (0, 1)


def test_nothing_fits_below_the_least_weight():
    with pytest.raises(ValueError, match="capacity 4 is less than 5"):
        Knapsack([[2, 9], [3]], [[1.0, 0.0], [1.0]]).solve(4)
