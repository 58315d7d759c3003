"""Waterfalls: the steps of a run, the runs that stand for them, and what each is worth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qcore.errors import InvalidRecipe
from qcore.evaluation.confidence import compare_means
from qcore.explore.waterfall import (
    measure,
    metrics_of,
    stand_ins,
    step_label,
    was_changed,
    waterfall_of,
)
from qcore.recipe import Recipe
from qcore.report.report import Report
from qcore.report.summary import Summary
from tests.report.factories import report_of

MIXQUANT = {
    "weights": {"format": "int4"},
    "activations": {"format": "int4_asym"},
    "rotation": {"block": 32},
    "permutation": {"method": "massdiff"},
    "scales": {"method": "mse"},
    "rounding": {"method": "qronos", "inputs": "quantized", "damping": 0.01},
}
PLAIN = {"scales": {"method": "absmax"}, "rounding": {"method": "rtn"}}


def measured(recipe: Recipe | dict, seed: int = 0, **changes) -> Report:
    made = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe)
    random = np.random.default_rng(seed)
    losses = tuple(map(float, random.normal(3, 0.5, made.evaluation.windows)))
    kl = tuple(map(float, random.gamma(2, 0.1, made.evaluation.windows)))
    return report_of(made, window_losses=losses, window_divergences=kl, **changes)


def summaries(reports: Sequence[Report]) -> list[Summary]:
    return [Summary.of(report) for report in reports]


def test_one_technique_is_added_at_a_time_and_the_last_step_is_the_run():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    assert [step.techniques for step in found.added] == [
        (),
        ("transform",),
        ("permutation",),
        ("scale",),
        ("rounding",),
        ("inputs",),
    ]
    assert found.added[-1].recipe == run.recipe
    plain = found.added[0].recipe
    assert (plain.rotation, plain.permutation) == (None, None)
    assert (plain.scales.method, plain.rounding.method) == ("absmax", "rtn")


def test_what_is_left_out_takes_with_it_what_cannot_stand_alone():
    found = waterfall_of(measured(MIXQUANT))
    assert [step.techniques for step in found.left_out] == [
        ("transform", "permutation"),
        ("permutation",),
        ("scale",),
        ("rounding", "inputs"),
        ("inputs",),
    ]
    report = measured(MIXQUANT)
    labels = [step_label(step, report, left_out=True) for step in found.left_out]
    assert labels[0] == "− R1 R2 R4 b32, MassDiff"
    assert labels[3] == "− Qronos damped 0.01, quantized inputs"
    assert step_label(found.added[0], report) == "round to nearest"
    assert step_label(found.added[-1], report) == "+ quantized inputs"


def test_steps_that_come_to_the_same_are_run_once():
    found = waterfall_of(measured(MIXQUANT))
    # Leaving the inputs out is the step before them.
    assert found.left_out[-1].essence == found.added[-2].essence
    assert len(found.steps) == len({step.essence for step in found.steps}) == 9


def test_steps_ask_no_tasks_and_keep_text_windows_and_calibration():
    whole = {**MIXQUANT, "evaluation": {"windows": 3, "tasks": ["piqa"]}}
    found = waterfall_of(measured(whole))
    assert found.added[-1].recipe.evaluation.tasks == ("piqa",)
    for step in found.steps:
        if step.essence != found.added[-1].essence:
            assert step.recipe.evaluation.tasks == ()
            assert step.recipe.evaluation.windows == 3
            assert step.recipe.calibration == found.added[-1].recipe.calibration


def test_any_finished_run_of_equal_essence_stands_for_a_step():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    # Another seed, no calibration, more windows: its losses on the first eight are the step's.
    plain = measured(
        {
            "weights": {"format": "int4"},
            "activations": {"format": "int4_asym"},
            **PLAIN,
            "seed": 5,
            "calibration": None,
            "evaluation": {"windows": 16},
        }
    )
    runs = stand_ins(found, run, summaries([plain, run]))
    assert runs[found.added[0].essence] == plain.id
    assert runs[found.added[-1].essence] == run.id
    assert len(found.missing(runs)) == len(found.steps) - 2


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation": {"windows": 4}},
        {"evaluation": {"length": 256}},
        {"evaluation": {"text": "wikitext2/test"}},
        {"weights": {"format": "int4", "group": 64}},
        {"activations": None},
    ],
)
def test_a_run_on_fewer_or_other_tokens_or_of_other_formats_is_no_step(change):
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    formats = {key: MIXQUANT[key] for key in ("weights", "activations")}
    other = measured({**formats, **PLAIN, **change})
    assert set(stand_ins(found, run, summaries([other]))) == {found.added[-1].essence}


def test_runs_of_other_contents_are_no_steps_and_newer_ones_are_told():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    plain = measured(found.added[0].recipe, created=run.created + 60)
    other = replace(plain, environment=replace(plain.environment, model_digest="cd" * 32))
    text = replace(plain, environment=replace(plain.environment, data={"evaluation text": "f"}))
    for changed in (other, text):
        assert found.added[0].essence not in stand_ins(found, run, summaries([changed]))
        assert was_changed(found, run, summaries([changed]))
        assert not was_changed(found, run, summaries([replace(changed, created=1.0)]))
    assert not was_changed(found, run, summaries([plain]))


def test_differences_are_paired_and_add_up_to_the_whole():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    reports = {run.id: run}
    runs = {found.added[-1].essence: run.id}
    for seed, step in enumerate(found.steps, start=1):
        if step.essence not in runs:
            made = measured(step.recipe, seed)
            reports[made.id], runs[step.essence] = made, made.id
    assert found.missing(runs) == ()
    for metric in metrics_of(run):
        numbers = measure(found, runs, reports, metric)
        assert numbers.windows == 8
        gaps = [item.gap for item in numbers.added]
        assert gaps[0] is None
        assert numbers.whole is not None
        assert sum(gap.value for gap in gaps[1:] if gap) == pytest.approx(numbers.whole.value)
        for before, item in itertools.pairwise(numbers.added):
            scores = [
                r.window_losses if metric == "loss" else r.window_divergences
                for r in (reports[before.run], reports[item.run])
            ]
            assert item.gap == compare_means(*scores).difference
        for item in numbers.left_out:
            assert item.gap is not None
            assert item.value is not None
            assert numbers.added[-1].value is not None
            assert item.gap.value == pytest.approx(item.value - numbers.added[-1].value)


def test_a_missing_step_leaves_only_its_own_differences_open():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    plain, turned = (measured(step.recipe, 3) for step in found.added[:2])
    runs = {
        found.added[-1].essence: run.id,
        found.added[0].essence: plain.id,
        found.added[1].essence: turned.id,
    }
    numbers = measure(found, runs, {r.id: r for r in (run, plain, turned)})
    assert [item.gap is None for item in numbers.added] == [True, False, True, True, True, True]
    assert [item.value is None for item in numbers.added] == [False, False, True, True, True, False]
    assert numbers.whole is not None


def test_a_report_that_cannot_be_read_counts_as_missing():
    run = measured(MIXQUANT)
    found = waterfall_of(run)
    runs = {found.added[-1].essence: run.id, found.added[0].essence: "f" * 16}
    assert measure(found, runs, {run.id: run}).added[0].value is None


def test_the_float_network_and_the_plain_recipe_are_refused_with_what_to_do():
    floating = measured({"weights": None})
    with pytest.raises(InvalidRecipe, match=r"is the float network.*choose a quantized run"):
        waterfall_of(floating)
    with pytest.raises(InvalidRecipe, match=r"plain basis already.*rounding, inputs, budget"):
        waterfall_of(measured(PLAIN))


def test_rounded_inputs_alone_have_a_waterfall_of_their_transforms():
    run = measured({"weights": None, "activations": {"format": "int4_asym"}, "rotation": {}})
    found = waterfall_of(run)
    assert [step.techniques for step in found.added] == [(), ("transform",)]
    assert step_label(found.added[0], run) == "rounded inputs"


def test_a_suffix_network_has_a_waterfall_of_what_it_can_have():
    run = measured(
        {
            "model": {"source": "suffix"},
            "weights": {"format": "int4"},
            "scales": {"method": "mse"},
            "rounding": {"method": "gptq", "inputs": "quantized"},
        }
    )
    found = waterfall_of(run)
    assert [step.techniques for step in found.added] == [(), ("scale",), ("rounding",), ("inputs",)]
    assert all(step.recipe.suffix == run.recipe.suffix for step in found.steps)


def test_an_unknown_metric_is_refused():
    run = measured(MIXQUANT)
    with pytest.raises(InvalidRecipe, match="loss or kl"):
        measure(waterfall_of(run), {}, {run.id: run}, "perplexity")
