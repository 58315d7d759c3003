"""The Bits page: empty, solved, pinned, shown, run, and reopened from its address."""

from __future__ import annotations

import dataclasses

import pytest

from pages._ui.bits import engine
from qcore.precision.counting import average_bits
from qcore.recipe import Recipe
from tests.explore.factories import mixed_report, recipe_of, sensitivities
from tests.pages.helpers_app import specs
from tests.report.factories import report_of

TABLE = sensitivities()
LAYERS = TABLE.layers


@pytest.fixture
def filled(bench, monkeypatch):
    """A library with runs of four methods at two budgets, and their sensitivities cached."""
    monkeypatch.setattr(engine, "cached", lambda recipe: TABLE)
    bench.made = {
        (method, budget): bench.library.add(mixed_report(recipe_of(method, budget), created=at))
        for at, (method, budget) in enumerate(
            (method, budget)
            for method in ("uniform", "kl", "dmx", "knapsack")
            for budget in (4.5, 6.0)
        )
    }
    return bench


def healthy(app):
    assert not app.exception, [item.value for item in app.exception]
    assert not app.error, [item.value for item in app.error]
    return app


def box(app, name: str):
    return app.get_by_key(f"bits.{name}")


def numbers(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def words(app) -> str:
    parts = [*app.markdown, *app.caption, *app.subheader, *app.info, *app.warning, *app.error]
    return "\n".join(str(part.value) for part in parts)


def address(app) -> dict[str, str]:
    """What this page wrote; a browser drops what Home did when it goes on to another page."""
    return {
        name: given[0] if isinstance(given, list) else given
        for name, given in app.query_params.items()
        if name != "evaluated"
    }


def test_without_a_budget_spent_the_page_offers_the_run_that_measures(bench):
    app = bench.open("bits")
    box(app, "measuring").click().run()
    (asked,) = bench.queue.submitted
    assert asked.precision.method == "knapsack"
    assert asked.precision.formats == ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")


def test_runs_without_a_budget_alone_leave_the_page_empty(bench):
    bench.library.add(report_of(Recipe.from_dict({"weights": {"format": "mxfp4"}})))
    assert "No bit budget was spent yet" in words(bench.open("bits"))


def test_the_slider_solves_anew_within_the_budget_and_predicts_less_damage(filled):
    app, told = healthy(filled.open("bits")), []
    for budget in (4.25, 5.5, 7.0):
        app.slider[0].set_value(budget).run()
        bits = float(numbers(healthy(app))["Average bits"])
        assert budget - 0.05 <= bits <= budget
        cells = specs(app)[1]["data"][0]["text"]
        assert len(cells) == 3
        assert len(cells[0]) == 7
        told.append(float(numbers(app)["Predicted KL divergence"]))
    assert told == sorted(told, reverse=True)
    assert told[0] > 2 * told[-1]


def test_predictions_are_hollow_and_measured_runs_filled(filled):
    race = specs(filled.open("bits"))[0]["data"]
    shapes = {trace["name"]: trace["marker"]["symbol"] for trace in race if "marker" in trace}
    hollow = {name for name, shape in shapes.items() if shape.endswith("-open")}
    solid = [trace for trace in race if "customdata" in trace]
    assert {name for name in hollow if "predicted" in name} == {
        f"{method}, predicted here" for method in ("knapsack", "KL greedy", "uniform", "random")
    }
    assert sorted(run for trace in solid for run in trace["customdata"]) == sorted(
        report.id for report in filled.made.values()
    )
    assert not hollow & {trace["name"] for trace in solid}
    knapsack = shapes["knapsack, predicted here"]
    assert knapsack == f"{shapes['knapsack, measured']}-open"
    assert all("customdata" not in trace for trace in hollow)


def test_a_score_that_sensitivities_cannot_predict_is_drawn_without_predictions(filled):
    report = next(iter(filled.made.values()))
    agreement = dataclasses.replace(report.metrics[0], name="top1_agreement", value=0.8, low=None)
    changed = dataclasses.replace(report, id="f" * 16, metrics=(*report.metrics, agreement))
    filled.library.add(changed)
    app = filled.open("bits", y="top1_agreement")
    assert not any(name.startswith("Predicted") for name in numbers(healthy(app)))
    assert all("predicted" not in trace.get("name", "") for trace in specs(app)[0]["data"])


def test_all_runs_are_counted_by_the_rule_on_the_page(filled):
    app = filled.open("bits", objective="bytes")
    race = specs(app)[0]["data"]
    narrowest = min(min(read(t["x"])) for t in race if "customdata" in t)
    part = dataclasses.replace(recipe_of().precision, objective="bytes")
    expected = min(
        average_bits({x.name: x.format for x in report.layers}, LAYERS, part)
        for report in filled.made.values()
    )
    assert narrowest == pytest.approx(expected, abs=1e-5)
    assert narrowest > 4.25


def read(values) -> list[float]:
    """A trace's numbers, which plotly writes as base64."""
    import base64

    import numpy as np

    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return values


def test_a_pin_from_the_form_holds_and_keeps_the_budget(filled):
    app = filled.open("bits", budget="5.0", layer="2.mlp.gate_proj")
    box(app, "pin").set_value("mxfp8_e4m3").run()
    assert box(healthy(app), "pins").value == "2.mlp.gate_proj=mxfp8_e4m3"
    assert app.slider[0].value == 5.0
    cells = specs(app)[1]["data"][0]["text"]
    assert cells[2][4:6] == ["8 pin", "8 pin"]  # up_proj is fused with gate_proj
    box(app, "pin").set_value("free").run()
    assert box(app, "pins").value == ""


def test_a_projection_can_be_pinned_as_a_whole(filled):
    app = filled.open("bits", layer="0.mlp.down_proj")
    box(app, "scope.0.mlp.down_proj").set_value("down_proj").run()
    box(app, "pin").set_value("mxfp4").run()
    rows = specs(healthy(app))[1]["data"][0]["text"]
    assert [row[6] for row in rows] == ["4 pin"] * 3


@pytest.mark.parametrize(
    ("pins", "sentence"),
    [
        ("down_proj", "names no layer and format"),
        ("9.mlp.down_proj=mxfp4", "matches none of 21 layers"),
        ("0.mlp.gate_proj=mxfp4 0.mlp.up_proj=mxfp8_e4m3", "share one format"),
    ],
)
def test_pins_that_cannot_hold_are_a_sentence(filled, pins, sentence):
    app = filled.open("bits", pins=pins)
    assert sentence in " ".join(item.value for item in app.error).replace("\\", "")


def test_the_address_reopens_the_page_as_it_stands_and_so_does_coming_back(filled):
    wanted = {
        "method": "kl",
        "budget": "4.75",
        "fused": "False",
        "colour": "saved",
        "pins": "0.self_attn.v_proj=mxfp8_e4m3",
        "layer": "1.mlp.up_proj",
    }
    app = healthy(filled.open("bits", **wanted))
    left, shown = address(app), numbers(app)
    assert wanted.items() <= left.items()
    assert (box(app, "method").value, app.slider[0].value) == ("kl", 4.75)
    assert (box(app, "fused").value, box(app, "pins").value) == (False, wanted["pins"])
    app.switch_page("pages/home.py").run()
    app.query_params.clear()
    app.switch_page("pages/bits.py").run()
    assert address(healthy(app)) == left
    assert numbers(app) == shown


def test_a_measured_run_shows_its_own_assignment_and_where_the_solver_differs(filled):
    run = filled.made["uniform", 6.0]
    app = healthy(filled.open("bits", show=run.id, budget="6.0"))
    cells = specs(app)[1]["data"][0]["text"]
    widths = {"mxfp4": "4", "mxfp6_e2m3": "6", "mxfp8_e4m3": "8"}
    given = [widths[layer.format] for layer in run.layers]
    assert [cell for row in cells for cell in row] == given
    assert "Where do the run and the solver differ?" in words(app)


def test_a_link_from_a_report_opens_its_comparison_and_assignment(filled):
    run = filled.made["kl", 4.5]
    app = healthy(filled.open("bits", run=run.id))
    assert box(app, "show").value == run.id
    assert "run" not in address(app)


def test_a_link_to_a_run_without_a_budget_says_so(filled):
    app = filled.open("bits", run="f" * 16)
    assert "has spent no bit budget" in words(app)


def test_running_an_assignment_submits_its_method_and_budget(filled):
    app = filled.open("bits", method="kl", budget="5.25")
    box(app, "run").click().run()
    (asked,) = filled.queue.submitted
    assert (asked.precision.method, asked.precision.budget) == ("kl", 5.25)
    assert app.title[0].value == "Is it moving?"


def test_running_it_as_pins_names_every_layer(filled):
    app = filled.open("bits", method="kl", budget="5.25")
    box(app, "run.pins").click().run()
    (asked,) = filled.queue.submitted
    part = asked.precision
    assert (part.method, part.budget, len(part.pins)) == ("manual", None, len(LAYERS))
    given = {pin.layer: pin.format for pin in part.pins}
    counted = dataclasses.replace(part, objective="weights")
    assert 5.2 <= average_bits(given, LAYERS, counted) <= 5.25


def test_an_assignment_that_was_measured_is_not_offered_again(filled):
    app = filled.open("bits", method="knapsack", budget="6.0")
    assert "bits.run" not in [item.key for item in app.button]
    assert "bits.run.pins" in [item.key for item in app.button]


def test_fewer_formats_start_the_weights_in_the_narrowest_of_them(filled):
    app = filled.open("bits", formats="mxfp6_e2m3+mxfp8_e4m3", budget="7.0")
    box(app, "run").click().run()
    (asked,) = filled.queue.submitted
    assert asked.weights.format == "mxfp6_e2m3"
    assert asked.precision.formats == ("mxfp6_e2m3", "mxfp8_e4m3")


def test_dmx_runs_show_their_training_with_a_line_per_layer(filled):
    app = filled.open("bits")
    training = specs(app)[-1]["data"]
    offsets = [trace for trace in training if trace.get("yaxis") == "y3"]
    assert [trace["name"] for trace in offsets] == ["q", "k", "v", "o", "gate", "up", "down"]
    assert all(len(set(trace["customdata"])) == 3 for trace in offsets)
    assert len(box(app, "training.run").options) == 2


def test_without_cached_sensitivities_measured_runs_stay_and_measuring_is_offered(
    filled, monkeypatch
):
    monkeypatch.setattr(engine, "cached", lambda recipe: None)
    engine.forget()
    app = healthy(filled.open("bits"))
    assert "holds no sensitivities" in words(app)
    assert len(specs(app)[0]["data"]) >= 4
    box(app, "measuring").click().run()
    (asked,) = filled.queue.submitted
    assert asked == filled.made["knapsack", 6.0].recipe, "a finished run, not a copy of one"
    assert filled.queue.ensured == ["sensitivity"]
