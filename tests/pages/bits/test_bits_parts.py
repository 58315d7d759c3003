"""Tables and figures of the Bits page: what needs no browser and no session."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pages._ui import palette
from pages._ui.bits import forecast, maps, words
from pages._ui.bits.charts import trajectory
from pages._ui.bits.tables import (
    formats_of,
    measured,
    moves,
    projection_table,
    trajectory_table,
    values_of,
)
from pages._ui.bits.words import rests_on
from pages._ui.runs import charts, tables
from qcore.precision.budget import Assigner
from qcore.recipe import Recipe
from qcore.report import metrics
from qcore.report.summary import Summary
from tests.explore.factories import layer_sizes, mixed_report, recipe_of, sensitivities

TABLE = sensitivities()
LAYERS = TABLE.layers
COSTS = TABLE.cost("kl")


def alike(name: str, **changes) -> Recipe:
    """All layers and inputs in one format, no budget."""
    part = {"format": name}
    return Recipe.from_dict(
        {"weights": part, "activations": part, "scales": {"method": "absmax"}, **changes}
    )


def rows(reports):
    formats = {report.id: formats_of(report) for report in reports}
    runs = [Summary.of(report) for report in reports]
    return measured(runs, formats, LAYERS, recipe_of().precision, None, TABLE)


def test_a_run_of_one_format_is_counted_as_uniform():
    mixed = mixed_report(recipe_of("uniform", 6.0))
    plain = dataclasses.replace(
        mixed,
        recipe=alike("mxfp6_e2m3"),
        layers=tuple(dataclasses.replace(x, format="mxfp6_e2m3") for x in mixed.layers),
        precision=None,
    )
    table = rows([plain])
    assert table.loc[0, "method"] == "uniform"
    assert table.loc[0, "bits"] == 6.0
    assert math.isnan(table.loc[0, "budget"])
    assert table.loc[0, "cost"] == pytest.approx(sum(row[1] for row in TABLE.kl))


def test_moves_tell_who_changed_and_what_it_saves():
    solver = Assigner(LAYERS, recipe_of("kl").precision, table=TABLE)
    before, after = solver.at(4.5), solver.at(5.5)
    table = moves(LAYERS, before.formats, after.formats, COSTS)
    assert set(table["layer"]) == {
        name for name in before.formats if before.formats[name] != after.formats[name]
    }
    assert table["saved"].sum() == pytest.approx(before.cost - after.cost)
    assert table["saved"].is_monotonic_decreasing
    assert "wider" in words.moves_sentence(table, "It")
    none = moves(LAYERS, before.formats, before.formats, COSTS)
    assert words.moves_sentence(none, "It") == "It changes no layer."


def test_projection_means_weigh_layers_by_their_weights():
    formats = {x.name: "mxfp8_e4m3" if x.projection == "down_proj" else "mxfp4" for x in LAYERS}
    table = projection_table(LAYERS, formats, COSTS, "mxfp4").set_index("projection")
    assert table.loc["down_proj", "bits"] == 8.0
    assert table.loc["q_proj", "bits"] == 4.0
    assert table.loc["down_proj", "share/mxfp8_e4m3"] == 1.0
    assert table.loc["v_proj", "cost"] == pytest.approx(
        sum(COSTS[x.name]["mxfp4"] for x in LAYERS if x.projection == "v_proj")
    )
    sentence = words.kept_wide(table.reset_index())
    assert "down_proj (8.00)" in sentence
    assert "q_proj" not in sentence


def test_what_widening_saves_is_counted_per_bit():
    saved = values_of(COSTS, "saved", LAYERS)
    layer = next(x for x in LAYERS if x.name == "1.mlp.down_proj")
    cost = COSTS[layer.name]
    assert saved[layer.name] == pytest.approx(
        (cost["mxfp4"] - cost["mxfp8_e4m3"]) * 1e6 / (4 * layer.inputs * layer.outputs)
    )


def test_a_map_has_a_cell_for_every_layer_and_its_click_carries_the_name():
    solved = Assigner(LAYERS, recipe_of().precision, table=TABLE).at(5.0)
    figure = maps.format_map(LAYERS, solved.formats, TABLE.formats)
    (heat,) = figure.data
    assert np.shape(heat.z) == (3, 7)
    assert sorted(heat.customdata.flat) == sorted(layer.name for layer in LAYERS)
    for name, value in zip(heat.customdata.flat, heat.z.flat, strict=True):
        assert TABLE.formats[int(value)] == solved.formats[name]


def test_both_maps_have_the_same_axes():
    solved = Assigner(LAYERS, recipe_of().precision, table=TABLE).at(5.0)
    left = maps.format_map(LAYERS, solved.formats, TABLE.formats)
    right = maps.sensitivity_map(LAYERS, values_of(COSTS, "mxfp4", LAYERS), "KL")
    for axis in ("xaxis", "yaxis"):
        assert left.layout[axis].range == right.layout[axis].range
    assert left.layout.height == right.layout.height
    assert np.array_equal(left.data[0].customdata, right.data[0].customdata)


def test_a_format_has_one_colour_in_the_map_and_in_the_shares_whatever_else_is_used():
    formats = dict.fromkeys((x.name for x in LAYERS), "mxfp6_e2m3")
    table = projection_table(LAYERS, formats, COSTS, "mxfp4")
    (bar,) = maps.shares(table, TABLE.formats).data
    assert bar.marker.color == maps.format_colours(TABLE.formats)["mxfp6_e2m3"]


def test_a_layer_that_loses_nothing_stays_blank_on_the_log_map():
    table = sensitivities(negative="0.mlp.up_proj")
    values = values_of(table.cost("loss"), "mxfp4", table.layers)
    heat = maps.sensitivity_map(table.layers, values, "loss").data[0]
    assert np.isnan(heat.z).sum() == 1


def test_a_network_of_80_blocks_is_drawn_without_text_in_its_cells():
    layers = layer_sizes(80)
    figure = maps.format_map(layers, dict.fromkeys((x.name for x in layers), "mxfp4"), [])
    assert figure.data[0].text is None
    assert figure.layout.height < 1000


def test_a_format_is_one_colour_from_dark_to_bright():
    colours = list(maps.format_colours(["mxfp8_e4m3", "mxfp4", "mxfp6_e2m3"]).values())
    brightness = [sum(int(part) for part in colour[4:-1].split(",")) for colour in colours]
    assert brightness == sorted(brightness)


def test_a_forecast_learns_from_the_runs_how_far_the_sum_is_off():
    reports = [
        mixed_report(recipe_of(method, budget), scale=2.0)
        for method in ("uniform", "kl")
        for budget in (4.5, 5.0, 6.0, 7.0)
    ]
    found = forecast.forecast_of(rows(reports), metrics.quality("kl"), "kl")
    assert found is not None
    total = 0.05
    assert found.of(total).value == pytest.approx(2 * total, rel=0.2)
    assert found.of(total).low < 2 * total < found.of(total).high
    assert "8 measured runs" in rests_on(found)


def test_a_run_does_not_predict_itself():
    odd = mixed_report(recipe_of("uniform", 5.0), scale=20.0)
    reports = [mixed_report(recipe_of("kl", b), scale=1.0) for b in (4.5, 5.0, 6.0, 7.0)]
    score = metrics.quality("kl")
    table = forecast.with_predictions(rows([odd, *reports]), score, "kl")
    told = table.set_index("id").loc[odd.id]
    assert told["predicted"] == pytest.approx(told["cost"], rel=0.3)
    assert told["kl"] == pytest.approx(20 * told["cost"])


def test_a_perplexity_is_predicted_from_the_loss_and_the_float_network():
    reports = [mixed_report(recipe_of("kl", b), scale=1.0) for b in (4.5, 5.0, 6.0, 7.0)]
    found = forecast.forecast_of(rows(reports), metrics.quality("perplexity"), "kl")
    assert found is not None
    assert found.plain == pytest.approx(30.0)
    assert found.of(1e-6).value == pytest.approx(30.0, rel=0.01)
    assert found.of(0.1).value > 31


def test_a_curve_reaches_from_the_narrowest_to_the_widest():
    solver = Assigner(LAYERS, recipe_of().precision, table=TABLE)
    found = forecast.forecast_of(rows([]), metrics.quality("kl"), "kl")
    told = forecast.curve(solver, "knapsack", found)
    assert told[0].bits == 4.0
    assert told[-1].bits == 8.0
    values = [point.prediction.value for point in told]
    assert values == sorted(values, reverse=True)
    assert "No run has been measured" in rests_on(found)


def test_the_training_figure_has_one_trace_per_projection_with_gaps_between_layers():
    report = mixed_report(recipe_of("dmx", 5.0))
    assert report.precision is not None
    path = report.precision.trajectory
    assert path is not None
    figure = trajectory(path, 5.0, 3)
    lines = [trace for trace in figure.data if trace.yaxis == "y3"]
    assert len(lines) == 7
    down = next(trace for trace in lines if trace.name == "down")
    assert np.isnan(down.y).sum() == 3
    assert [shape.y0 for shape in figure.layout.shapes] == [5.0, 0.5, 1.5]
    table = trajectory_table(report)
    assert len(table) == len(path.steps)
    assert "offset/0.mlp.down_proj" in table.columns


def test_pareto_draws_a_mixed_run_at_its_stored_bits_in_its_methods_colour():
    report = mixed_report(recipe_of("dmx", 5.0))
    table = tables.runs([tables.row(Summary.of(report))])
    figure = charts.pareto(table, metrics.SIZES["bits"], metrics.quality("kl"))
    point = next(trace for trace in figure.data if trace.customdata is not None)
    weights = sum(layer.parameters for layer in report.layers)
    stored = sum(layer.parameters * layer.bits_per_weight for layer in report.layers) / weights
    assert point.x[0] == pytest.approx(stored, rel=1e-6)
    assert (point.name, point.marker.color) == ("dMX", palette.METHOD_COLOURS["dMX"])
    assert (table.loc[0, "weights"], table.loc[0, "activations"]) == ("MXFP4/6/8", "MXFP4/6/8")
