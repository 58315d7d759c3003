"""The front, the float model's own score, and runs in pieces: of numbers, never of tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.explore.front import BROKEN_LOSS, broken, front, reference

NUMBERS = st.lists(
    st.tuples(st.sampled_from([2.0, 3.0, 4.0, math.nan]), st.sampled_from([1.0, 2.0, 3.0, 4.0])),
    max_size=9,
)


def test_the_front_has_the_runs_that_no_smaller_run_beats():
    size = np.array([4.0, 3.0, 8.0, 4.0, 2.0, np.nan])
    score = np.array([40.0, 60.0, 31.0, 45.0, 60.0, 1.0])
    assert front(size, score).tolist() == [4, 0, 2]
    assert front(size, score, higher_is_better=True).tolist() == [4]


@settings(max_examples=200)
@given(NUMBERS, st.booleans())
def test_a_run_is_on_the_front_when_no_run_of_its_size_or_below_is_as_good(runs, higher):
    size = np.array([run[0] for run in runs], dtype=np.float64)
    score = np.array([run[1] for run in runs], dtype=np.float64)
    found = front(size, score, higher_is_better=higher)
    loss = -score if higher else score
    assert list(size[found]) == sorted(set(size[found]))
    for place in range(len(runs)):
        if math.isnan(size[place]):
            assert place not in found
            continue
        before = [at for at in range(len(runs)) if size[at] <= size[place] and at != place]
        if place in found:
            assert all(loss[at] >= loss[place] for at in before)
        else:
            assert any(loss[at] <= loss[place] for at in before)


@pytest.mark.parametrize(
    ("metric", "float_perplexity", "known"),
    [
        ("perplexity", [30.0, 30.01, math.nan], 30.0),
        ("perplexity", [30.0, 35.0], math.nan),
        ("perplexity", [math.nan], math.nan),
        ("kl", [], 0.0),
        ("top1_agreement", [], 1.0),
        ("accuracy/piqa", [30.0], math.nan),
    ],
)
def test_the_float_models_score_is_known_or_not_told(metric, float_perplexity, known):
    found = reference(metric, np.array(float_perplexity, dtype=np.float64))
    assert found == known or (math.isnan(found) and math.isnan(known))


def test_runs_in_pieces_are_told_unless_all_are():
    limit = 30.0 * math.exp(BROKEN_LOSS)
    score = np.array([31.0, limit * 0.99, limit * 1.01])
    assert broken("perplexity", score, 30.0).tolist() == [False, False, True]
    assert not broken("perplexity", score[2:], 30.0).any()
    assert not broken("perplexity", score, math.nan).any()
    assert broken("kl", np.array([0.1, 3.5]), 0.0).tolist() == [False, True]
    assert not broken("accuracy/piqa", score, math.nan).any()
