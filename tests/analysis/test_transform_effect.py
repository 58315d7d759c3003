"""What the microscope shows is what the tokens are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qcore.analysis.outliers import kurtosis
from qcore.analysis.transform_effect import compare, density, look, measure
from qcore.calibration.sketch import BINS, bin_edges, bins_of
from qcore.errors import InvalidRecipe
from qcore.transforms.hadamard import block_rotation, rotate


def spread(tokens: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tokens, width, generator=generator)


@pytest.mark.parametrize(("width", "rows"), [(1, 1), (200, 200), (201, 101), (1536, 192)])
def test_a_picture_has_at_most_two_hundred_rows_and_one_column_per_token(width, rows):
    assert look(spread(7, width)).picture.shape == (rows, 7)


def test_a_picture_shows_each_cells_peak_over_the_tokens_rms():
    x = spread(5, 401)  # three channels to a row, the last row two
    stage = look(x)
    assert stage.channels == 3
    rms = x.square().mean(1).sqrt()
    for row, token in ((0, 0), (50, 3), (133, 4)):
        cell = x[token, 3 * row : 3 * row + 3].abs().max() / rms[token]
        assert stage.picture[row, token] == pytest.approx(float(cell), rel=1e-6)


def test_a_token_of_zeros_is_drawn_as_zeros():
    picture = look(torch.zeros(2, 8)).picture
    assert np.array_equal(picture, np.zeros((8, 2), np.float32))


def test_scaling_a_token_leaves_its_picture():
    x = spread(3, 64)
    np.testing.assert_allclose(look(x).picture, look(1000 * x).picture, rtol=1e-6)


def test_the_actual_peak_never_exceeds_the_bound_and_the_bound_never_the_ideal():
    x = spread(50, 96)
    x[:, 3] *= 30
    found = compare(x, rotate(x, block_rotation(96, 32)), x.abs().mean(0), 32)
    assert (found.rotated.peak <= found.bound * (1 + 1e-5)).all()
    assert (found.ideal <= found.bound * (1 + 1e-5)).all()


def test_masses_are_the_blocks_share_of_the_mean_magnitudes():
    mean = torch.arange(8.0)
    x = spread(4, 8)
    found = compare(x, rotate(x, block_rotation(8, 4)), mean, 4)
    assert found.mass.tolist() == [6.0, 22.0]
    assert found.imbalance == pytest.approx(22 / 14)


def test_a_block_is_flagged_exactly_when_the_rotation_raised_its_peak_in_two_thirds_of_tokens():
    flat, spike = torch.ones(3, 4), torch.eye(4)[:3]
    # Equal magnitudes of one sign pile up in one feature; a spike is spread.
    x = torch.cat((flat, spike), 1)
    found = compare(x, rotate(x, block_rotation(8, 4)), x.mean(0), 4)
    assert found.flagged.tolist() == [0]
    assert found.worse.tolist() == [1.0, 0.0]
    assert found.peak_before.tolist() == [1.0, 1.0]
    assert found.peak_after.tolist() == pytest.approx([2.0, 0.5])


def test_expanded_blocks_are_compared_by_the_features_that_they_hold():
    x = spread(6, 48)
    rotated = rotate(x, block_rotation(64, 16))
    found = compare(x, rotated, x.abs().mean(0), 16)
    assert len(found.mass) == len(found.worse) == 4
    assert found.mass.sum() == pytest.approx(float(x.abs().mean(0).sum()), rel=1e-5)
    assert (found.rotated.peak <= found.bound * (1 + 1e-5)).all()


def test_a_block_that_does_not_divide_is_refused():
    x = spread(2, 24)
    with pytest.raises(InvalidRecipe, match="16"):
        compare(x, x, x.abs().mean(0), 16)


def test_the_density_of_a_log_uniform_magnitude_is_flat():
    octaves = 8 * torch.rand(400_000, generator=torch.Generator().manual_seed(3)) - 4
    curve = density(torch.bincount(bins_of(octaves.exp2()), minlength=BINS), bin_edges())
    inside = (curve.magnitude > 0.1) & (curve.magnitude < 10)
    np.testing.assert_allclose(curve.density[inside], 1 / 8, rtol=0.05)


def test_a_density_integrates_to_the_share_of_values_that_are_not_zero():
    x = spread(100, 64)
    x[:, ::4] = 0
    curve = density(torch.bincount(bins_of(x).flatten(), minlength=BINS), bin_edges())
    # A bin is an eighth of its octave by value, so its width in octaves depends on its place.
    edges = 2.0 ** np.floor(np.log2(curve.magnitude))
    place = np.floor((curve.magnitude / edges - 1) * 8)
    widths = np.log2((9 + place) / (8 + place))
    assert (curve.density * widths).sum() == pytest.approx(0.75, abs=2e-3)


def test_nothing_counted_has_an_empty_curve():
    curve = density(torch.zeros(BINS, dtype=torch.int64), bin_edges())
    assert len(curve.magnitude) == len(curve.density) == 0


def test_the_measures_are_those_of_the_tokens():
    x = spread(64, 96)
    x[:, 7] *= 25
    found = measure(
        x, x.abs().mean(0), x.abs().amax(0), x.square().mean(0), x.double().pow(4).mean(0)
    )
    second = float(x.square().mean())
    assert found.kurtosis == pytest.approx(float(x.double().pow(4).mean()) / second**2, rel=1e-5)
    assert found.peak_to_rms == pytest.approx(float(x.abs().max()) / math.sqrt(second), rel=1e-5)
    assert found.token_kurtosis == pytest.approx(float(kurtosis(x).quantile(0.5)), rel=1e-5)
    masses = x.abs().mean(0).view(3, 32).sum(1)
    assert found.imbalance == pytest.approx(float(masses.max() / masses.mean()), rel=1e-5)


def test_a_site_of_zeros_has_no_outliers():
    zeros = torch.zeros(96)
    found = measure(torch.zeros(4, 96), zeros, zeros, zeros, zeros)
    assert found.kurtosis == found.peak_to_rms == found.token_kurtosis == found.imbalance == 0
