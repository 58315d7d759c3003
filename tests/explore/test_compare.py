"""Runs against a baseline: pairs, verdicts, and what cannot be compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qcore.errors import InvalidRecipe
from qcore.evaluation.confidence import Interval, compare_means
from qcore.explore.compare import (
    Difference,
    compare,
    differing_knobs,
    lacking_tasks,
    layers,
    separate,
    why_not,
    windows_needed,
)
from qcore.recipe import Evaluation, Recipe, Rounding, ScalesPart, Weights
from qcore.report.report import Metric, Report
from tests.report.factories import report_of

HARD = np.array([3.0, 2.2, 4.1, 2.9, 3.6, 2.4, 3.3, 3.9])
"""Windows whose difficulty differs far more than any two recipes do."""


def run(method: str, losses, **changes) -> Report:
    scales = ScalesPart(method="absmax")
    recipe = Recipe(weights=Weights("int4"), scales=scales, rounding=Rounding(method))
    return report_of(recipe, window_losses=tuple(float(x) for x in losses), **changes)


def test_a_small_steady_gain_is_found_under_a_large_common_spread():
    a, b = run("rtn", HARD), run("gptq", HARD - 0.03 + np.linspace(-0.005, 0.005, 8))
    (found,) = compare([a, b])
    loss = found.differences[0]
    assert loss.better is True
    assert loss.gap.value == pytest.approx(-0.03)
    assert found.verdict.startswith("Better by 0.030 [0.02")
    assert found.needed is None


def test_the_other_way_round_it_is_worse_by_as_much():
    a, b = run("rtn", HARD), run("gptq", HARD - 0.03 + np.linspace(-0.005, 0.005, 8))
    (found,) = compare([a, b], base=b.id)
    assert found.run == a.id
    assert found.differences[0].better is False
    assert found.verdict.startswith("Worse by 0.030")


def test_an_open_verdict_says_how_many_windows_would_settle_it():
    noise = np.array([0.3, -0.28, 0.25, -0.27, 0.31, -0.3, 0.29, -0.22])
    (found,) = compare([run("rtn", HARD), run("gptq", HARD + noise)])
    assert found.differences[0].better is None
    assert found.needed is not None
    assert found.needed > 8
    assert f"about {found.needed} would do" in found.verdict or "more than" in found.verdict


def test_the_windows_needed_halve_the_interval_four_times_for_a_quarter_of_the_width():
    gap = Interval(value=0.1, low=-0.1, high=0.3, count=8)
    assert windows_needed(gap) == 32
    assert windows_needed(Interval(0.1, 0.05, 0.15, 8)) is None
    assert windows_needed(Interval(0.0, -0.1, 0.1, 8)) is None
    assert windows_needed(Interval(0.1, None, None, 1)) is None


def test_runs_on_more_windows_are_compared_on_those_that_both_have():
    a, b = run("rtn", HARD), run("gptq", [*(HARD - 0.1 + np.arange(8) * 1e-4), 9.0, 9.0])
    (found,) = compare([a, b])
    assert found.differences[0].count == 8
    assert found.differences[0].gap.value == pytest.approx(-0.1, abs=1e-3)


def test_accuracies_are_compared_without_pairs_by_newcombes_interval():
    def accuracy(right: int) -> tuple[Metric, ...]:
        from qcore.evaluation.confidence import proportion

        p = proportion(right, 100)
        return (Metric("accuracy/piqa", p.value, "", "share", 100, p.low, p.high),)

    a, b = run("rtn", HARD, metrics=accuracy(48)), run("gptq", HARD, metrics=accuracy(70))
    (found,) = compare([a, b])
    task = found.differences[-1]
    # Newcombe (1998), method 10, for 70/100 and 48/100.
    assert (task.gap.low, task.gap.high) == pytest.approx((0.0842, 0.3441), abs=2e-3)
    assert task.better is True
    assert task.paired is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"evaluation": Evaluation(length=256)}, "512 and 256 tokens"),
        ({"evaluation": Evaluation(text="wikitext2/test")}, "different texts"),
    ],
)
def test_runs_on_other_tokens_are_refused_with_the_reason(change, reason):
    a = run("rtn", HARD)
    b = report_of(replace(a.recipe, **change), window_losses=a.window_losses)
    with pytest.raises(InvalidRecipe, match=reason):
        compare([a, b])


def test_runs_of_other_networks_are_refused():
    a, b = run("rtn", HARD), run("gptq", HARD, model="other")
    elsewhere = replace(b, environment=replace(b.environment, model_digest="cd" * 32))
    assert "different networks" in why_not(a, elsewhere)


def test_one_run_seven_runs_and_the_same_twice_are_refused():
    a = run("rtn", HARD)
    with pytest.raises(InvalidRecipe, match="1 run cannot"):
        compare([a])
    with pytest.raises(InvalidRecipe, match="stands twice"):
        compare([a, a])
    many = [replace(a, id=f"{number:016x}") for number in range(7)]
    with pytest.raises(InvalidRecipe, match="7 runs"):
        compare(many)
    with pytest.raises(InvalidRecipe, match="none of the compared"):
        compare(many[:2], base="f" * 16)


def test_only_knobs_that_differ_are_named():
    a, b = run("rtn", HARD), run("gptq", HARD)
    assert differing_knobs([a, b]) == {"rounding.method": ["rtn", "gptq"]}
    floating = report_of(
        Recipe(weights=None, scales=ScalesPart("absmax"), rounding=Rounding("rtn"))
    )
    knobs = differing_knobs([a, floating])
    assert knobs["weights.format"] == ["int4", None]


def test_layers_stand_side_by_side_and_a_float_run_leaves_them_empty():
    floating = report_of(
        Recipe(weights=None, scales=ScalesPart("absmax"), rounding=Rounding("rtn"))
    )
    (row,) = layers([run("rtn", HARD), floating])
    assert row.formats == ("int4", "")
    assert row.output_errors == (0.002, None)


def test_a_verdict_needs_windows_and_an_interval_more_than_one():
    (none,) = compare([run("rtn", []), run("gptq", [])])
    assert "nothing can be said" in none.verdict
    (one,) = compare([run("rtn", [3.0]), run("gptq", [2.9])])
    assert one.verdict == "Loss lower by 0.1 nats per token on one window: no interval."


@pytest.mark.parametrize("windows", [8, 16])
def test_intervals_of_differences_cover_the_truth(windows: int) -> None:
    random = np.random.default_rng(windows)
    truth, covered = 0.02, 0
    for seed in range(1000):
        base = random.normal(3.0, 0.6, windows)
        gap = compare_means(base, base + truth + random.normal(0, 0.05, windows), seed=seed)
        interval = gap.difference
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= truth <= interval.high
    assert 930 <= covered <= 970


def test_a_difference_knows_which_way_is_better():
    gap = Interval(0.1, 0.05, 0.15, 8)
    up = Difference("accuracy/piqa", "", True, 0.5, 0.6, gap, False, 100)
    assert up.better is True
    assert replace(up, higher_is_better=False).better is False
    assert math.isclose(up.gap.value, 0.1)


def test_runs_are_parted_by_whether_they_read_the_baselines_tokens():
    a, b = run("rtn", HARD), run("gptq", HARD)
    short = replace(b, id="c" * 16, recipe=replace(b.recipe, evaluation=Evaluation(length=64)))
    kept, (refusal,) = separate([a, b, short])
    assert kept == [a, b]
    assert "64 tokens" in refusal.reason
    assert refusal.missing == (replace(short.recipe, evaluation=a.recipe.evaluation),)


def test_a_text_that_changed_under_its_name_is_measured_anew_for_both():
    a, b = run("rtn", HARD), run("gptq", HARD)
    data = {"evaluation text": "f" * 64}
    other = replace(b, environment=replace(b.environment, data=data))
    _, (refusal,) = separate([a, other])
    assert refusal.missing == (a.recipe, b.recipe)


def test_no_run_makes_two_networks_comparable():
    a, b = run("rtn", HARD), run("gptq", HARD)
    other = replace(b, environment=replace(b.environment, model_digest="cd" * 32))
    _, (refusal,) = separate([a, other])
    assert refusal.missing == ()


def test_tasks_that_only_the_baseline_answered_are_named_once():
    a, b = run("rtn", HARD), run("gptq", HARD)
    names = ("accuracy/piqa", "accuracy/piqa/norm")
    scores = tuple(Metric(name, 0.5, "", "share", 10) for name in names)
    assert lacking_tasks(replace(a, metrics=scores), b) == ["piqa"]
    assert lacking_tasks(a, b) == []
