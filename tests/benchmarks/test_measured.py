"""The tables of what was measured: which reports are set against which, and how."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from benchmarks.measured import BASELINES, RECIPES, name_of, over_seeds, rows_of
from qcore.recipe import Evaluation, Recipe, RotationPart, Rounding, ScalesPart, Weights
from qcore.recipe.sweep import expand
from tests.report.factories import report_of

SWEEPS = sorted(RECIPES.glob("*.json"))


def finished(recipe: Recipe, *losses: float):
    return recipe, report_of(recipe, window_losses=losses)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_expands_and_reads_texts_by_name_alone(path):
    runs = expand(json.loads(path.read_text(encoding="utf-8")))
    assert len({name_of(run) for run in runs}) == len(runs) > 1
    assert {run.evaluation.text for run in runs} == {"file:wiki.test.raw"}
    assert {run.calibration and run.calibration.text for run in runs} == {"file:c4.txt"}


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_run_of_its_own_sweep(name):
    runs = expand(json.loads((RECIPES / f"{name}.json").read_text(encoding="utf-8")))
    names = {name_of(run) for run in runs}
    for change in BASELINES[name].values():
        assert any(name_of(change(run)) in names - {name_of(run)} for run in runs)


def test_a_run_is_set_against_the_same_run_with_other_scales_window_by_window():
    mse, piso = (
        Recipe(scales=ScalesPart(name), rounding=Rounding("rtn")) for name in ("mse", "piso")
    )
    runs = [finished(mse, 4.0, 2.0, 3.0), finished(piso, 3.5, 1.5, 2.5)]
    first, second = rows_of(runs, BASELINES["piso_bits"])
    assert "over mse" not in first
    value, low, high = second["over mse"]
    # Windows differ by two nats, and not at all in what separates the runs.
    assert value == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert low == pytest.approx(high, rel=1e-5)
    assert "over absmax" not in second, "that run is not there"


def test_layers_that_came_out_worse_than_in_the_other_run_are_counted():
    mse, piso = (
        Recipe(scales=ScalesPart(name), rounding=Rounding("rtn")) for name in ("mse", "piso")
    )
    worse = report_of(piso, window_losses=(3.0, 3.0))
    layer = worse.layers[0]
    worse = replace(worse, layers=(replace(layer, output_error=2 * layer.output_error),))
    rows = rows_of([finished(mse, 3.0, 3.0), (piso, worse)], BASELINES["piso_bits"])
    assert rows[1]["layers above mse"] == 1


def test_the_perplexity_of_eight_windows_is_taken_from_a_longer_run():
    (row,) = rows_of([finished(Recipe(), *[3.0] * 8, *[5.0] * 8)], {})
    assert row["perplexity of 8"] == pytest.approx(math.exp(3), abs=1e-4)
    assert row["perplexity"][0] == pytest.approx(math.exp(4), rel=1e-5)


def test_runs_are_the_same_wherever_their_texts_lie():
    here = Recipe(evaluation=Evaluation("file:wiki.test.raw"))
    there = Recipe(evaluation=Evaluation("file:/data/wiki.test.raw"))
    other = Recipe(evaluation=Evaluation("file:/data/wiki.valid.raw"))
    assert name_of(here) == name_of(there) != name_of(other)


def test_seeds_are_summed_up_in_nats_and_single_runs_are_not():
    turned = Recipe(rotation=RotationPart(signs=True))
    runs = [finished(replace(turned, seed=seed), loss) for seed, loss in ((0, 4.0), (1, 5.0))]
    runs.append(finished(Recipe(weights=Weights("int8")), 3.0))
    (row,) = over_seeds(runs)
    assert row["seeds"] == 2
    ends = [row[name] for name in ("least", "mean", "most")]
    assert ends == pytest.approx([math.exp(4), math.exp(4.5), math.exp(5)])
