"""Expansion picks the paper's sizes and prices."""

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from qcore.errors import InvalidRecipe
from qcore.transforms.expansion import (
    CORES,
    ExpandableSite,
    admissible_sizes,
    solve,
)

# Llama-3.2-1B: hidden 2048, FFN 8192, 16 layers, vocabulary 128256 (tied), 32 heads and 8 KV
# heads of 64.
LAYER = 2048 * 2048 * 2 + 2048 * 512 * 2 + 3 * 2048 * 8192 + 2 * 2048
LLAMA_1B = 128256 * 2048 + 16 * LAYER + 2048
DOWN = ExpandableSite("down_proj", 8192, 2048, 16)
OUT = ExpandableSite("o_proj", 2048, 2048, 16)

# SmolLM2-135M: hidden 576, FFN 1536, 30 layers.
SMOL = 134_515_008
SMOL_DOWN = ExpandableSite("down_proj", 1536, 576, 30)
SMOL_OUT = ExpandableSite("o_proj", 576, 576, 30)


def ladder(width, count, **keywords):
    return list(itertools.islice(admissible_sizes(width, **keywords), count))


def test_the_parameters_are_those_of_the_published_model():
    assert LLAMA_1B == 1_235_814_400


def test_steps_on_llama_1b_are_the_papers():
    sizes = ladder(8192, 7)

    assert [sizes[step - 1] for step in (1, 3, 5, 7)] == [8960, 9728, 10240, 12288]
    assert ladder(2048, 7)[-1] == 3072


@given(st.integers(1, 40000))
def test_steps_are_all_the_sizes_above_a_width_and_no_others(width):
    steps = ladder(width, 12)

    everything = sorted({v << k for v in CORES for k in range(20)})
    assert steps == [size for size in everything if size > width][:12]


@given(st.integers(1, 40000), st.sampled_from([16, 32, 128, 512]))
def test_steps_of_a_block_rotation_are_multiples_of_the_block(width, block):
    steps = ladder(width, 6, block=block)

    everything = sorted({v << k for v in CORES for k in range(20)})
    assert steps == [s for s in everything if s > width and s % block == 0][:6]


def test_powers_of_two_are_no_steps():
    assert not any(math.log2(size).is_integer() for size in ladder(8190, 40))


def test_five_steps_on_down_proj_cost_five_and_a_half_percent_at_one_billion():
    made = solve([DOWN], LLAMA_1B, 5.43)

    assert made.steps == {"down_proj": 5}
    assert made.sizes == {"down_proj": 10240}
    assert made.added == 2048 * 2048 * 16
    assert round(made.percent, 2) == 5.43


def test_seven_steps_on_both_cost_thirteen_and_a_half_percent_at_one_billion():
    made = solve([DOWN, OUT], LLAMA_1B, 13.6)

    assert made.steps == {"down_proj": 7, "o_proj": 7}
    assert made.sizes == {"down_proj": 12288, "o_proj": 3072}
    assert round(made.percent, 1) == 13.6


@pytest.mark.parametrize(
    ("sites", "asked", "sizes", "percent"),
    [
        ([DOWN], 5.43, {"down_proj": 10240}, 5.43),
        ([DOWN], 5, {"down_proj": 9984}, 4.75),
        ([DOWN, OUT], 13.6, {"down_proj": 12288, "o_proj": 3072}, 13.58),
        ([SMOL_DOWN], 2, {"down_proj": 1664}, 1.64),
        ([SMOL_DOWN], 5, {"down_proj": 1920}, 4.93),
        ([SMOL_DOWN], 10, {"down_proj": 2304}, 9.87),
        ([SMOL_DOWN], 15, {"down_proj": 2752}, 15.62),
    ],
)
def test_the_knob_gives_the_closest_sizes_and_their_true_percentage(sites, asked, sizes, percent):
    parameters = LLAMA_1B if sites[0] is DOWN else SMOL

    made = solve(sites, parameters, asked)

    assert made.sizes == sizes
    assert round(made.percent, 2) == percent
    assert made.asked == asked
    assert made.added == sum(s.growth(sizes[s.name]) for s in sites)


@given(st.floats(0, 100), st.sampled_from([1, 32]))
def test_no_single_sites_size_is_closer_to_the_target(percent, block):
    made = solve([DOWN], LLAMA_1B, percent, block=block)

    reachable = [8192, *ladder(8192, 60, block=block)]
    distances = [abs(DOWN.growth(size) - LLAMA_1B * percent / 100) for size in reachable]
    assert abs(made.added - LLAMA_1B * percent / 100) == min(distances)


@given(st.floats(0, 100))
def test_sites_grow_together(percent):
    made = solve([SMOL_DOWN, SMOL_OUT], SMOL, percent)

    for ahead, behind in itertools.permutations((SMOL_DOWN, SMOL_OUT)):
        # What the one behind would reach next is at least what the other has reached.
        following = next(admissible_sizes(made.sizes[behind.name]))
        assert following / behind.width >= made.sizes[ahead.name] / ahead.width


def test_steps_count_the_sizes_passed():
    made = solve([SMOL_DOWN, SMOL_OUT], SMOL, 10)

    for site in (SMOL_DOWN, SMOL_OUT):
        passed = [site.width, *ladder(site.width, 40)]
        assert passed[made.steps[site.name]] == made.sizes[site.name]


def test_nothing_asked_changes_nothing():
    made = solve([DOWN, OUT], LLAMA_1B, 0)

    assert made.sizes == {"down_proj": 8192, "o_proj": 2048}
    assert made.percent == made.added == 0
    assert made.steps == {"down_proj": 0, "o_proj": 0}


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_percentages_out_of_range_are_refused(percent):
    with pytest.raises(InvalidRecipe, match="choose 0 to 100"):
        solve([DOWN], LLAMA_1B, percent)


def test_blocks_that_no_size_contains_are_refused():
    with pytest.raises(InvalidRecipe, match="block 48 is no power of two"):
        solve([DOWN], LLAMA_1B, 5, block=48)
