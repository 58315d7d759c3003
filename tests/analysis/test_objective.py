"""The picture of one channel's error."""

import numpy as np
import pytest
import torch

from qcore.analysis.objective import channel_objective, envelope, landings, sample
from qcore.errors import InvalidRecipe
from qcore.formats.coding import dequantize, grid
from qcore.formats.format import named
from qcore.formats.quantized import Scales
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from qcore.scales.mse import mse
from qcore.scales.piso import piso


def channel(width=40, seed=0):
    make = torch.Generator().manual_seed(seed)
    x = torch.randn(200, width, generator=make) @ torch.randn(width, width, generator=make)
    return x, torch.randn(width, generator=make)


def relative_error(x, w, scale, fmt):
    rounded = dequantize(rtn(w[None], Scales(torch.full((1, 1), float(scale))), fmt))[0]
    return float(((x @ (w - rounded)).double() ** 2).sum() / ((x @ w).double() ** 2).sum())


@pytest.mark.parametrize("name", ["int2", "int4", "mxfp4"])
def test_the_curve_is_the_error_on_the_samples(name):
    fmt = named(name)
    x, w = channel(width=32)
    objective = channel_objective(w, grid(fmt), x.T @ x)
    scales = np.geomspace(0.05, 3.0, 57) * float(w.abs().max()) / float(grid(fmt).max())
    measured = [relative_error(x, w, scale, fmt) for scale in scales]
    np.testing.assert_allclose(objective.error(scales), measured, rtol=1e-4, atol=1e-6)


def test_pieces_join_and_the_last_reaches_zero():
    x, w = channel()
    objective = channel_objective(w, grid(named("int3")), x.T @ x)
    np.testing.assert_array_equal(objective.low[:-1], objective.high[1:])
    assert objective.high[0] == np.inf
    assert objective.low[-1] == 0.0
    assert objective.best_error[0] == pytest.approx(1.0)
    inside = objective.low > 0
    assert np.all(objective.best_scale[inside] >= objective.low[inside])


def test_piso_lands_on_the_lowest_point_and_the_others_above_it():
    x, w = channel(seed=2)
    fmt, h = named("int3"), x.T @ x
    objective = channel_objective(w, grid(fmt), h)
    scales = {
        "absmax": float(absmax(w[None], fmt).scale),
        "mse": float(mse(w[None], fmt).scale),
        "piso": float(piso(w[None], fmt, h).scale),
    }
    found = landings(w, grid(fmt), h, None, scales, objective)
    lowest = objective.best_error[objective.best]
    # PiSO keeps 2⁻²² away from a transition, where the lowest point may lie.
    assert found["piso"].error == pytest.approx(lowest, rel=1e-5)
    assert found["absmax"].error > lowest
    assert found["mse"].error > lowest
    for name, landing in found.items():
        assert landing.scale == scales[name]
        assert landing.error == pytest.approx(relative_error(x, w, landing.scale, fmt), rel=1e-3)
        assert float(objective.error(np.array([landing.scale]))[0]) == pytest.approx(landing.error)


def test_a_sampled_curve_shows_both_sides_of_every_jump():
    x, w = channel()
    objective = channel_objective(w, grid(named("int2")), x.T @ x)
    curve = sample(objective, 0.1, 2.0, points=50)
    inside = objective.low[(objective.low > 0.1) & (objective.low < 2.0)]
    assert np.all(np.diff(curve.scale) > 0)
    for transition in inside:
        near = np.abs(curve.scale / transition - 1) < 2e-9
        assert near.sum() >= 2
    assert np.all(curve.scale <= objective.high[curve.piece])
    assert np.all(curve.scale >= objective.low[curve.piece])


def test_an_envelope_holds_the_curve_and_is_reached_by_it():
    x, w = channel(seed=4)
    objective = channel_objective(w, grid(named("int4")), x.T @ x)
    low, high = 1.01 * float(objective.low[-2]), 0.99 * float(objective.low[0])
    found = envelope(objective, low, high, bins=30)
    fine = sample(objective, low, high, points=20_000)
    place = np.clip(np.searchsorted(found.edge, fine.scale, side="right") - 1, 0, 29)
    assert np.all(fine.error >= found.least[place] - 1e-6)
    assert np.all(fine.error <= found.most[place] + 1e-6)
    for at in range(30):
        here = fine.error[place == at]
        assert here.min() == pytest.approx(found.least[at], rel=1e-3)
        assert here.max() == pytest.approx(found.most[at], rel=1e-3)


@pytest.mark.parametrize("name", ["int3", "mxfp6_e3m2"])
def test_a_diagonal_is_the_dense_matrix_of_it(name):
    x, w = channel(seed=6)
    diagonal = (x.T @ x).diagonal()
    short = channel_objective(w, grid(named(name)), diagonal)
    whole = channel_objective(w, grid(named(name)), torch.diag(diagonal))
    np.testing.assert_allclose(short.best_error, whole.best_error, rtol=1e-9)
    scales = {"absmax": 0.3, "piso": float(short.best_scale[short.best])}
    given = landings(w, grid(named(name)), diagonal, None, scales, short)
    for name_of, landing in landings(
        w, grid(named(name)), torch.diag(diagonal), None, scales, whole
    ).items():
        assert given[name_of].error == pytest.approx(landing.error)


def test_a_pieces_parabola_goes_on_beyond_it():
    x, w = channel(seed=7)
    objective = channel_objective(w, grid(named("int3")), x.T @ x)
    best = objective.best
    wide = objective.best_scale[best] * np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    assert objective.parabola(best, wide).min() == pytest.approx(objective.best_error[best])


def test_a_given_energy_places_the_cross_objective_on_the_scale_of_the_samples():
    x, w = channel(seed=5)
    xq = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    fmt = named("int4")
    energy = float(((x @ w).double() ** 2).sum())
    objective = channel_objective(w, grid(fmt), xq.T @ xq, xq.T @ x, energy=energy)
    scale = float(absmax(w[None], fmt).scale)
    rounded = dequantize(rtn(w[None], absmax(w[None], fmt), fmt))[0]
    measured = float(((x @ w - xq @ rounded).double() ** 2).sum()) / energy
    assert float(objective.error(np.array([scale]))[0]) == pytest.approx(measured, rel=1e-3)


def test_a_channel_without_output_is_refused():
    x, w = channel()
    with pytest.raises(InvalidRecipe, match="energy"):
        channel_objective(w * 0, grid(named("int4")), x.T @ x)
