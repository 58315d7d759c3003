import math

import numpy as np
import pytest
from scipy import stats

from qcore.errors import DataError, NumericalError
from qcore.evaluation.confidence import (
    compare_means,
    compare_perplexities,
    mean_interval,
    perplexity_interval,
    proportion,
)


def losses(seed, windows=16, spread=0.3):
    return 3 + spread * np.random.default_rng(seed).standard_normal(windows)


def test_the_interval_of_a_mean_holds_the_mean():
    values = losses(0)
    interval = mean_interval(values)
    assert interval.low < interval.value < interval.high
    assert interval.value == pytest.approx(values.mean())
    assert interval.count == 16


@pytest.mark.parametrize("windows", [3, 8, 16])
def test_intervals_of_few_windows_cover_the_truth_as_often_as_they_say(windows):
    # 400 trials: two standard errors of 95 % are 2.2 points. Plain percentiles cover 89 % at 8.
    covered = 0
    for trial in range(400):
        interval = mean_interval(losses(trial, windows), seed=trial)
        covered += interval.low <= 3 <= interval.high
    assert covered / 400 == pytest.approx(0.95, abs=0.022)


def test_the_interval_of_many_windows_is_that_of_the_normal_law():
    values = losses(1, windows=2000)
    interval = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(2000)
    assert interval.high - interval.value == pytest.approx(half, rel=0.05)
    assert interval.value - interval.low == pytest.approx(half, rel=0.05)


def test_a_perplexity_interval_is_the_exponential_of_the_losses_interval():
    values = losses(2)
    in_nats, perplexity = mean_interval(values), perplexity_interval(values)
    assert perplexity.value == pytest.approx(math.exp(in_nats.value))
    assert perplexity.low == pytest.approx(math.exp(in_nats.low))
    assert perplexity.high == pytest.approx(math.exp(in_nats.high))


def test_ends_stay_within_what_the_metric_can_be():
    interval = mean_interval([0.99, 1.0, 0.6], bounds=(0, 1))
    assert interval.high == 1
    assert 0 <= interval.low < interval.value < 1


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = losses(3)
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)
    assert mean_interval(values, seed=5) != mean_interval(values, seed=6)


@pytest.mark.parametrize("interval", [mean_interval, perplexity_interval])
def test_one_window_has_a_value_and_no_interval(interval):
    alone = interval([2.0])
    assert alone.value in (2.0, math.exp(2.0))
    assert alone.low is None
    assert alone.high is None
    assert not alone.excludes_zero


def test_pairing_finds_a_difference_that_two_separate_intervals_cannot_see():
    base = losses(4)
    worse = base + 0.02 + 0.005 * np.random.default_rng(9).standard_normal(16)
    first, second = perplexity_interval(base), perplexity_interval(worse)
    assert first.high > second.low  # they overlap: nothing to see
    compared = compare_perplexities(base, worse)
    assert compared.difference.excludes_zero
    assert compared.difference.low > 0
    assert compared.ratio.low <= math.exp(0.02) <= compared.ratio.high
    assert compared.difference.value == pytest.approx(second.value - first.value)
    nats = compare_means(base, worse)
    assert nats.difference.low <= 0.02 <= nats.difference.high
    assert nats.wins == compared.wins == int((worse < base).sum())


def test_a_run_compared_with_itself_differs_by_zero():
    values = losses(5)
    for compared in (compare_perplexities(values, values), compare_means(values, values)):
        assert compared.difference.low == compared.difference.high == 0
        assert not compared.difference.excludes_zero
        assert compared.wins == 0


def test_noise_is_called_a_difference_as_often_as_the_exact_test_for_normal_values_does():
    # Student's paired test is exact here: 5 % of these comparisons of nothing with nothing.
    called, exact, agree = 0, 0, 0
    for trial in range(600):
        a, b = losses(trial, 8) + np.random.default_rng(5000 + trial).standard_normal((2, 8)) * 0.05
        ours = compare_means(a, b).difference.excludes_zero
        theirs = bool(stats.ttest_rel(a, b).pvalue < 0.05)
        called, exact, agree = called + ours, exact + theirs, agree + (ours == theirs)
    assert agree / 600 > 0.97
    assert called / 600 == pytest.approx(exact / 600, abs=0.01)
    assert called / 600 == pytest.approx(0.05, abs=0.018)  # two standard errors of 600 trials


def test_swapping_the_runs_turns_the_comparison_round():
    a, b = losses(6), losses(7)
    there, back = compare_perplexities(a, b), compare_perplexities(b, a)
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert there.ratio.value == pytest.approx(1 / back.ratio.value)


def test_the_standard_error_of_an_accuracy_is_lm_evals():
    from lm_eval.api.metrics import mean_stderr

    answers = [1.0] * 13 + [0.0] * 7
    assert proportion(13, 20).stderr == pytest.approx(mean_stderr(answers))


def test_all_right_is_not_certain():
    score = proportion(20, 20)
    assert score.value == 1
    assert score.stderr == 0
    assert score.low == pytest.approx(20 / (20 + 1.959964**2))
    assert score.high == pytest.approx(1)


def test_one_question_has_no_standard_error():
    assert proportion(1, 1).stderr is None


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match="no windows"):
        mean_interval([])
    with pytest.raises(DataError, match="window 1 has the value nan"):
        mean_interval([1.0, math.nan])
    with pytest.raises(DataError, match="2 and 3 windows"):
        compare_means([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(NumericalError, match="900 nats"):
        perplexity_interval([900.0, 1.0])
    with pytest.raises(DataError, match="no share"):
        proportion(0, 0)
    with pytest.raises(DataError, match="3 right answers of 2"):
        proportion(3, 2)
