from __future__ import annotations

import numpy as np
import pytest

from qcore.errors import DataError
from qcore.suffix.metrics import (
    difference,
    scores,
    similarities,
    similarity,
    similarity_matrix,
    spread,
)


@pytest.mark.parametrize(
    ("a", "b", "distance", "longest"),
    [
        ("", "", 0, 1),
        ("", "AB", 2, 2),
        ("ABC", "ABC", 0, 3),
        ("AB", "BA", 1, 2),  # one transposition, where Levenshtein counts two edits
        ("CA", "ABC", 3, 3),  # alignment: no part is edited twice, or it would be 2
        ("ABCD", "ACBD", 1, 4),
        ("ABCD", "XBCD", 1, 4),
        ("ABC", "ABCDEF", 3, 6),
    ],
)
def test_similarity_by_hand(a, b, distance, longest):
    first, second = [ord(x) for x in a], [ord(x) for x in b]
    assert similarity(first, second) == pytest.approx(1 - distance / longest)
    assert similarity(second, first) == similarity(first, second)


def test_the_matrix_holds_what_pairs_give():
    random = np.random.default_rng(0)
    suffixes = [random.integers(0, 4, random.integers(0, 7)).tolist() for _ in range(12)]
    matrix = similarity_matrix(suffixes, suffixes[:5])
    for i, a in enumerate(suffixes):
        np.testing.assert_allclose(matrix[i], similarities([a] * 5, suffixes[:5]), rtol=1e-6)


def test_scores_weigh_prefixes_alike_and_resample_cases():
    values = np.array([1.0, 1.0, 1.0, 0.0, 0.5])
    found = scores(values, np.array([0, 0, 0, 1, 2]), np.array([2, 3, 4, 2, 2]))
    assert found.similarity == pytest.approx(0.7)
    assert found.exact == pytest.approx(0.6)
    assert found.by_length == ((2, 0.5, 3), (3, 1.0, 1), (4, 1.0, 1))
    assert (found.prefixes, found.cases) == (5, 3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.7 < found.high


def test_prefixes_of_one_case_do_not_narrow_the_interval():
    random = np.random.default_rng(0)
    values = random.random(40)
    alone = scores(values, np.arange(40), np.full(40, 2))
    repeated = scores(np.repeat(values, 25), np.repeat(np.arange(40), 25), np.full(1000, 2))
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


def test_a_single_case_has_no_interval():
    found = scores(np.array([0.5, 1.0]), np.zeros(2, dtype=int), np.array([2, 3]))
    assert (found.low, found.high) == (None, None)


def test_a_constant_difference_has_an_interval_of_no_width():
    a = np.random.default_rng(0).random(30)
    assert difference(a, a + 0.25, np.arange(30)) == pytest.approx((0.25, 0.25, 0.25))


def test_spread_over_folds_is_the_samples_deviation():
    assert spread([1.0, 2.0, 3.0]).deviation == pytest.approx(1.0)
    assert spread([0.4]).deviation is None


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="no prefixes"):
        scores(np.array([]), np.array([]), np.array([]))
    with pytest.raises(DataError, match="no folds"):
        spread([])
    with pytest.raises(DataError, match="1 predictions cannot be compared with 0 suffixes"):
        similarities([[1]], [])
