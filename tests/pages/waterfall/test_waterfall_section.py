"""The waterfall on the Compare page: drawn as far as it is known, and what is missing queued."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pages._ui import engine
from qcore.errors import ModelError
from qcore.explore.waterfall import waterfall_of
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from qcore.report.report import Report
from tests.pages.compare.test_compare_page import HARD, run, texts
from tests.pages.compare.test_hurt import button
from tests.pages.helpers_app import specs
from tests.report.factories import report_of

WHOLE = {
    "weights": {"format": "int4"},
    "rotation": {"block": 32},
    "scales": {"method": "mse"},
    "rounding": {"method": "gptq"},
}


def measured(recipe: Recipe, shift: float = 0.0, **changes) -> Report:
    losses = HARD + shift + np.linspace(-0.005, 0.005, 8)
    kl = 0.3 + shift + np.linspace(-0.005, 0.005, 8)
    return report_of(
        recipe,
        window_losses=tuple(map(float, losses)),
        window_divergences=tuple(map(float, kl)),
        **changes,
    )


@pytest.fixture
def pair(bench) -> tuple[Report, Report]:
    whole = Recipe.from_dict(WHOLE)
    return bench.library.add(run()), bench.library.add(measured(whole))


def control(app, key: str):
    return next(item for item in app.button_group if item.key == key)


def figures(app, word: str) -> list[dict]:
    return [
        one for one in specs(app) if word in one["layout"]["xaxis"].get("title", {}).get("text", "")
    ]


def tables(app, column: str):
    return next(item.value for item in app.dataframe if column in item.value.columns)


def opened(bench, pair, **query):
    return bench.open("compare", runs=",".join(report.id for report in pair), **query)


def test_missing_steps_are_named_priced_and_queued_with_one_click_as_a_named_sweep(bench, pair):
    app = opened(bench, pair)
    said = texts(app)
    assert "4 steps missing" in said
    assert "about 1 min 01 s" in said
    assert "3 are in the cache and 2 are shared" in said
    named = tables(app, "Missing run")
    assert list(named["State"]) == ["not asked yet"] * 4
    assert set(named["Takes"]) != {"–"}
    button(app, "Run 4 missing steps").click().run()
    found = waterfall_of(pair[1])
    # A, round to nearest with absmax, is the plain recipe already.
    assert bench.queue.submitted == [
        step.recipe for step in found.steps[1:] if step.recipe != pair[1].recipe
    ]
    assert bench.queue.names == ["Waterfall of INT4 R b32 GPTQ MSE"]
    assert set(tables(app, "Missing run")["State"]) == {"queued"}
    assert not any(item.label.startswith("Run 4") for item in app.button)


def test_steps_fill_in_as_their_runs_arrive(bench, pair):
    app = opened(bench, pair)
    button(app, "Run 4 missing steps").click().run()
    turned = waterfall_of(pair[1]).added[1]
    bench.library.add(measured(turned.recipe, -0.4))
    app.run()
    row = tables(app, "Technique").iloc[1]
    assert row["Step"] == "+ R1 R2 R4 b32"
    assert row["Says"] == "better"
    assert row["Difference"].startswith("−0.4")
    assert len(tables(app, "Missing run")) == 3


def test_a_whole_waterfall_has_a_bar_for_each_step_and_says_the_order(bench, pair):
    found = waterfall_of(pair[1])
    for place, step in enumerate(found.steps):
        if step.recipe not in (pair[0].recipe, pair[1].recipe):
            bench.library.add(measured(step.recipe, 0.1 * place))
    app = opened(bench, pair)
    said = texts(app)
    assert "missing" not in said
    assert "transform, permutation, expansion, scale, rounding, inputs, budget" in said
    (added,) = figures(app, "nats per token); left is better")
    bars = [label for trace in added["data"] if trace["type"] == "bar" for label in trace["y"]]
    assert sorted(bars) == ["+ GPTQ", "+ MSE", "+ R1 R2 R4 b32"]
    (out,) = figures(app, "right is missed")
    bars = [label for trace in out["data"] if trace["type"] == "bar" for label in trace["y"]]
    assert sorted(bars) == ["− GPTQ", "− MSE", "− R1 R2 R4 b32"]


def test_it_is_of_loss_or_of_kl(bench, pair):
    found = waterfall_of(pair[1])
    bench.library.add(measured(found.added[1].recipe, 0.25))
    app = opened(bench, pair)
    assert figures(app, "Loss (nats per token); left")
    control(app, "compare.waterfall.of").set_value("kl").run()
    (figure,) = figures(app, "KL to the float model (nats per token); left")
    assert figure


def test_of_several_runs_it_is_the_first_that_has_techniques_or_the_chosen_one(bench, pair):
    c = bench.library.add(measured(Recipe(), -0.2))
    app = opened(bench, (*pair, c))
    chosen = control(app, "waterfall")
    assert chosen.options == ["B", "C"]
    assert chosen.value == "B"
    chosen.set_value("C").run()
    assert "+ GPTQ" in list(tables(app, "Technique")["Step"])
    assert "+ R1 R2 R4 b32" not in list(tables(app, "Technique")["Step"])


def test_plain_and_float_runs_are_told_that_there_is_nothing_to_take_apart(bench):
    a, b = bench.library.add(run()), bench.library.add(run(seed=1))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "plain basis already" in texts(app)


def test_a_failed_step_says_why_and_is_offered_again(bench, pair):
    step = waterfall_of(pair[1]).added[1]
    bench.queue.add(step.recipe, JobState.FAILED, message="<b>no memory</b>; close programs")
    app = opened(bench, pair)
    states = list(tables(app, "Missing run")["State"])
    assert states[0] == "failed: <b>no memory</b>; close programs"
    assert button(app, "Run 4 missing steps")


def test_what_cannot_be_priced_is_said_and_not_offered(bench, pair, monkeypatch):
    def refuse(recipes):
        raise ModelError("the folder is gone", remedy="mount it")

    monkeypatch.setattr(engine, "preview", refuse)
    app = opened(bench, pair)
    assert "the folder is gone" in texts(app)
    assert not any("missing step" in item.label for item in app.button)


def test_steps_of_changed_contents_bring_the_run_itself_into_the_queue(bench, pair):
    step = waterfall_of(pair[1]).added[1]
    newer = measured(step.recipe, created=pair[1].created + 9)
    other = replace(newer.environment, data={"evaluation text": "f" * 64})
    bench.library.add(replace(newer, environment=other))
    app = opened(bench, pair)
    assert "read other contents" in texts(app)
    button(app, "Run 4 missing steps").click().run()
    assert bench.queue.submitted[0] == pair[1].recipe


def test_a_single_run_has_its_waterfall_too(bench, pair):
    app = bench.open("compare", runs=pair[1].id)
    assert "Choose two runs or more" in texts(app)
    assert "4 steps missing" in texts(app)
