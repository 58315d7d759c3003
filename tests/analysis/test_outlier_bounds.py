"""The outlier measures agree with theory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.hadamard.operation import block_hadamard_transform
from kernels.hadamard.sylvester import sylvester
from qcore.analysis.outliers import (
    block_l1,
    block_peak,
    ideal_bound,
    kurtosis,
    peak_bound,
    peak_to_rms,
    worsened_blocks,
)
from qcore.errors import InvalidRecipe


def heavy_tailed(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x * torch.exp(1.5 * torch.randn(shape[-1], generator=generator, dtype=torch.float64))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 8, 16, 64]), st.sampled_from([64, 128]))
def test_rotated_peak_never_exceeds_the_bound(seed, block, order):
    x = heavy_tailed(20, 64, seed=seed)

    rotated = block_hadamard_transform(x, sylvester(block), order)

    assert (rotated.abs().amax(-1) <= peak_bound(x, block, order) * (1 + 1e-12)).all()


@pytest.mark.parametrize("block", [2, 8, 32])
def test_bound_is_attained_by_a_row_of_the_matrix(block):
    x = torch.zeros(64, dtype=torch.float64)
    x[-block:] = sylvester(block)[block // 2].double() * 3

    rotated = block_hadamard_transform(x, sylvester(block))

    torch.testing.assert_close(rotated.abs().amax(), peak_bound(x, block))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([1, 4, 16, 96]))
def test_no_order_of_features_gets_below_the_ideal(seed, block):
    x = heavy_tailed(96, seed=seed)
    shuffled = x[torch.randperm(96, generator=torch.Generator().manual_seed(seed))]

    assert peak_bound(shuffled, block) >= ideal_bound(x, block) * (1 - 1e-12)


def test_ideal_is_reached_by_equal_masses():
    x = torch.tensor([3.0, 1.0, -2.0, 2.0, -4.0, 0.0, 1.0, 3.0])

    assert peak_bound(x, 2) == ideal_bound(x, 2)


def test_suppression_is_assured_under_the_papers_condition_and_then_holds():
    x = heavy_tailed(2000, 64, seed=3)
    assured = peak_bound(x, 16) <= x.abs().amax(-1)

    assert torch.equal(assured, block_l1(x, 16).amax(-1) <= math.sqrt(16) * x.abs().amax(-1))
    assert assured.any()
    assert not assured.all()
    rotated = block_hadamard_transform(x, sylvester(16))
    assert (rotated.abs().amax(-1) <= x.abs().amax(-1) * (1 + 1e-12))[assured].all()


def test_block_masses_and_peaks_are_per_block():
    x = torch.tensor([[1.0, -2.0, 0.0, 4.0], [-1.0, 0.0, 0.0, 0.0]])

    assert block_l1(x, 2).tolist() == [[3.0, 4.0], [1.0, 0.0]]
    assert block_peak(x, 2).tolist() == [[2.0, 4.0], [1.0, 0.0]]


def test_expanded_blocks_hold_fewer_features():
    x = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])

    assert block_l1(x, 4, 8).tolist() == [6.0, 9.0]
    assert block_peak(x, 2, 14).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0]
    assert ideal_bound(x, 4, 8) == pytest.approx(15 * 2 / 8)


def test_zeros_shared_over_the_blocks_lower_the_bound_and_zeros_behind_do_not():
    x = heavy_tailed(256, 512, seed=2)
    behind = torch.cat((x, x.new_zeros(256, 128)), -1)

    shared = peak_bound(x, 32, 640)

    assert torch.equal(peak_bound(behind, 32), peak_bound(x, 32))
    assert shared.mean() < peak_bound(x, 32).mean()
    torch.testing.assert_close(ideal_bound(x, 32, 640), ideal_bound(x, 32) * 512 / 640)


def test_a_block_that_the_rotation_made_worse_is_flagged():
    x = torch.tensor([10.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])

    rotated = block_hadamard_transform(x, sylvester(4))

    assert rotated.tolist() == [5.0, 5.0, 5.0, 5.0, 2.0, 0.0, 0.0, 0.0]
    assert worsened_blocks(x, rotated, 4).tolist() == [False, True]


def test_kurtosis_is_three_for_a_gaussian_and_1_8_for_a_uniform():
    generator = torch.Generator().manual_seed(0)

    assert kurtosis(torch.randn(200_000, generator=generator)).item() == pytest.approx(3, abs=0.1)
    assert kurtosis(torch.rand(200_000, generator=generator)).item() == pytest.approx(1.8, abs=0.02)


def test_kurtosis_of_a_spike_is_about_the_number_of_features():
    spike = torch.zeros(1000, dtype=torch.float64)
    spike[3] = 7.0

    assert kurtosis(spike).item() == pytest.approx(1000**2 / 999 - 3)
    assert kurtosis(torch.ones(8)).isnan()


def test_peak_to_rms_runs_from_one_to_the_root_of_the_width():
    spike = torch.zeros(64)
    spike[9] = -2.0

    assert peak_to_rms(torch.tensor([2.0, -2.0, 2.0])) == 1
    assert peak_to_rms(spike) == 8


def test_half_precision_is_measured_in_float32():
    x = heavy_tailed(4, 64).bfloat16()

    for measure in (kurtosis, peak_to_rms, lambda v: block_l1(v, 16), lambda v: peak_bound(v, 16)):
        assert measure(x).dtype == torch.float32
        assert torch.equal(measure(x), measure(x.float()))


@pytest.mark.parametrize(("block", "order"), [(5, None), (0, None), (16, 40), (4, 4)])
def test_blocks_that_do_not_fit_are_refused(block, order):
    with pytest.raises(InvalidRecipe, match=f"blocks of {block} do not hold 12 features"):
        peak_bound(torch.ones(12), block, order)
