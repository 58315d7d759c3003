import math
import random
from itertools import pairwise

import pytest

from qcore.errors import NumericalError
from qcore.precision.predict import PRIORS, Prior, calibrate

SUMS = [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8]


def planted(sums, offset=-0.5, slope=0.9, scatter=0.0, seed=0):
    """Runs on D = e^offset (S / 0.1)^slope · 0.1, with log-normal scatter."""
    draw = random.Random(seed)
    return [
        (s, 0.1 * math.exp(offset + slope * math.log(s / 0.1) + draw.gauss(0, scatter)))
        for s in sums
    ]


def width(prediction):
    return math.log(prediction.high / prediction.low)


def test_a_planted_relation_is_recovered():
    runs = planted(SUMS * 8)
    found = calibrate(runs)
    assert found.slope == pytest.approx(0.9, abs=0.01)
    for total, measured in runs:
        assert found.predict(total).value == pytest.approx(measured, rel=0.02)


def test_without_runs_the_sum_itself_is_predicted_within_a_wide_band():
    none = calibrate([])
    for total in (0.01, 0.1, 1.0):
        prediction = none.predict(total)
        assert prediction.value == pytest.approx(total, rel=1e-12)
        assert prediction.low < total / 4
        assert prediction.high > total * 4
        assert prediction.runs == 0


def test_more_runs_narrow_the_band():
    widths = [width(calibrate(planted(SUMS[:n], scatter=0.05)).predict(0.03)) for n in range(9)]
    assert all(later < earlier for earlier, later in pairwise(widths))
    assert widths[1] > math.log(2)  # one run may be a chance
    assert widths[8] < widths[0] / 4


def test_runs_that_scatter_widen_it():
    calm, wild = (calibrate(planted(SUMS, scatter=s, seed=1)).predict(0.03) for s in (0.02, 0.8))
    assert width(wild) > 2 * width(calm)


def test_far_from_all_runs_the_band_is_wider():
    found = calibrate(planted([0.1, 0.11, 0.12]))
    assert width(found.predict(0.001)) > 1.3 * width(found.predict(0.11))


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_the_band_covers_a_new_run_as_often_as_it_says(count):
    draw, prior, held, trials = random.Random(count), Prior(), 0, 2000
    for seed in range(trials):
        # One world of those that the prior believes in: σ² inverse gamma, then a and b in its unit.
        scatter = prior.scatter / math.sqrt(draw.gammavariate(prior.weight / 2, 2 / prior.weight))
        unit = scatter / prior.scatter
        offset, slope = draw.gauss(0, unit * prior.offset), draw.gauss(1, unit * prior.slope)
        sums = [10 ** draw.uniform(-2.5, 0) for _ in range(count + 1)]
        *known, (total, measured) = planted(sums, offset, slope, scatter, seed)
        prediction = calibrate(known).predict(total)
        held += prediction.low <= measured <= prediction.high
    assert held / trials == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials))


def test_more_damage_never_predicts_less_even_if_a_few_runs_say_so():
    found = calibrate([(0.01, 0.5), (0.5, 0.01), (0.02, 0.4), (0.4, 0.02)] * 5)
    values = [found.predict(total).value for total in SUMS]
    assert values == sorted(values)
    assert found.predict(0.8).high > 0.01


def test_the_proxy_takes_its_scale_from_runs():
    runs = [(200 * total, measured) for total, measured in planted(SUMS)]
    assert width(calibrate([], PRIORS["proxy"]).predict(5.0)) > math.log(1e6)
    found = calibrate(runs, PRIORS["proxy"])
    for total, measured in runs:
        assert found.predict(total).value == pytest.approx(measured, rel=0.1)


def test_runs_in_the_noise_are_left_out_and_sums_in_it_still_predict():
    assert calibrate([(0.1, -0.002), (-0.01, 0.1), (0.0, 0.0)]) == calibrate([])
    prediction = calibrate([]).predict(-0.5)
    assert 0 < prediction.low < prediction.value < prediction.high < 1e-3


def test_an_increase_in_loss_becomes_a_perplexity():
    increase = calibrate(planted(SUMS)).predict(0.2)
    perplexity = increase.perplexity(20.0)
    assert perplexity.value == pytest.approx(20 * math.exp(increase.value))
    assert perplexity.low < perplexity.value < perplexity.high
    assert (perplexity.low > 20, perplexity.runs) == (True, 8)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(NumericalError, match="a sum of nan"):
        calibrate([(math.nan, 0.1)])
