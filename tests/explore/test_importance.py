"""Importance: planted effects are found, noise is told apart, and too few runs are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qcore.errors import InvalidRecipe
from qcore.explore.importance import (
    FEWEST_RUNS,
    MOST_KNOBS,
    SPARE_RUNS,
    _foretold,
    _groups,
    _Part,
    importance,
)

GRID = list(itertools.product([2, 3, 4, 8], ["rtn", "gptq", "qronos"], [None, 32]))


def grid(noise: float = 0.05, seed: int = 0):
    """A full grid: bits matter most, rounding some, the block not at all."""
    random = np.random.default_rng(seed)
    bits, rounding, block = zip(*GRID, strict=True)
    y = np.array([-0.8 * b for b in bits]) + np.array([len(r) / 8 for r in rounding])
    knobs = {"weights.format": bits, "rounding.method": rounding, "rotation.block": block}
    return [float(v) for v in y + random.normal(0, noise, len(y))], knobs


def test_planted_effects_stand_in_their_order_and_add_up():
    y, knobs = grid()
    found = importance(y, knobs)
    assert [knob.paths for knob in found.knobs] == [
        ("weights.format",),
        ("rounding.method",),
        ("rotation.block",),
    ]
    shares = [knob.share for knob in found.knobs]
    assert sum(shares) == pytest.approx(found.explained)
    assert found.explained > 0.98
    assert found.foretold > 0.95
    assert shares[0] > 0.9
    assert 0.005 < shares[1] < 0.08
    assert abs(shares[2]) < 0.01
    assert found.runs == 24


def test_on_a_full_grid_shares_are_those_of_the_analysis_of_variance():
    y, knobs = grid(noise=0.0)
    found = importance(y, knobs)
    numbers = np.array(y)
    total = ((numbers - numbers.mean()) ** 2).sum()
    for knob in found.knobs:
        values = knobs[knob.paths[0]]
        means = [numbers[[v == level for v in values]].mean() for level in values]
        eta = ((np.array(means) - numbers.mean()) ** 2).sum() / total
        assert knob.share == pytest.approx(eta, abs=1e-9)


def test_noise_alone_explains_nothing():
    random = np.random.default_rng(1)
    _, knobs = grid()
    found = [importance(list(random.normal(size=24)), knobs) for _ in range(200)]
    # R² of the same runs would be about 6/23.
    assert abs(np.mean([each.explained for each in found])) < 0.03
    for place in range(3):
        path = list(knobs)[place]
        shares = [k.share for each in found for k in each.knobs if k.paths == (path,)]
        assert abs(np.mean(shares)) < 0.02
    assert np.mean([each.foretold for each in found]) < 0.05


def test_leaving_out_is_what_a_fit_to_the_others_foretells():
    numbers, knobs = grid(noise=0.3)
    y = np.array(numbers)
    parts = [_Part(paths, codes) for codes, paths in _groups(knobs).items()]
    x = np.concatenate([np.eye(part.levels)[_codes(part)] for part in parts], axis=1)
    errors = []
    for out in range(len(y)):
        kept = np.arange(len(y)) != out
        # The mean is free: a column of ones that the ridge does not shrink.
        design = np.concatenate([np.ones((len(y), 1)), x], axis=1)
        ridge = 0.7 * np.diag([0.0, *[1.0] * x.shape[1]])
        a = design[kept]
        beta = np.linalg.solve(a.T @ a + ridge, a.T @ y[kept])
        errors.append(y[out] - design[out] @ beta)
    plain = [y[at] - np.delete(y, at).mean() for at in range(len(y))]
    expected = 1 - np.dot(errors, errors) / np.dot(plain, plain)
    assert _foretold(y, parts, 0.7) == pytest.approx(expected, abs=1e-10)


def _codes(part: _Part) -> list[int]:
    return [int(row.argmax()) for row in part.columns]


def test_knobs_that_only_turn_together_are_one():
    y, knobs = grid()
    twin = ["mxfp" + str(b) for b in knobs["weights.format"]]
    found = importance(y, {**knobs, "activations.format": twin})
    assert found.knobs[0].paths == ("weights.format", "activations.format")


def test_knobs_that_overlap_share_what_they_explain():
    y, knobs = grid(noise=0.01)
    coarse = [b > 3 for b in knobs["weights.format"]]
    found = importance(y, {**knobs, "scales.method": coarse})
    shares = {knob.paths[0]: knob.share for knob in found.knobs}
    assert shares["weights.format"] > shares["scales.method"] > 0.2


def test_the_order_of_runs_and_of_knobs_changes_nothing():
    y, knobs = grid()
    order = np.random.default_rng(2).permutation(len(y))
    turned = {path: [values[at] for at in order] for path, values in reversed(knobs.items())}
    one, other = importance(y, knobs), importance([y[at] for at in order], turned)
    assert one.explained == pytest.approx(other.explained)
    for a, b in zip(one.knobs, other.knobs, strict=True):
        assert (a.paths, a.share) == (b.paths, pytest.approx(b.share))


@pytest.mark.parametrize("knobs", [1, 2, 3, 6])
def test_too_few_runs_are_refused_with_how_many_would_do(knobs):
    random = np.random.default_rng(knobs)
    needed = max(FEWEST_RUNS, knobs + 1 + SPARE_RUNS)
    few = needed - 1
    given = {f"k{at}": [run == at for run in range(few)] for at in range(knobs)}
    with pytest.raises(InvalidRecipe, match=rf"{few} runs, with {knobs} effects.*{needed} or more"):
        importance(list(random.normal(size=few)), given)


def test_equal_runs_and_equal_numbers_are_refused():
    with pytest.raises(InvalidRecipe, match="no knob differs"):
        importance(list(map(float, range(9))), {"seed": [0] * 9})
    with pytest.raises(InvalidRecipe, match="same number"):
        importance([1.0] * 9, {"seed": [0, 1, 0] * 3})


def test_of_many_knobs_the_most_telling_are_taken_and_the_others_named():
    random = np.random.default_rng(3)
    knobs = {f"k{at}": list(random.integers(0, 2, 64)) for at in range(MOST_KNOBS + 3)}
    y = 3.0 * np.array(knobs["k5"]) + random.normal(0, 0.1, 64)
    found = importance([float(v) for v in y], knobs)
    assert found.knobs[0].paths == ("k5",)
    assert len(found.knobs) == MOST_KNOBS
    assert len(found.dropped) == 3
