"""The Pareto figure and its table, without a session."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pages._ui.charts import WEBGL_FROM, log_ticks
from pages._ui.runs import charts, tables
from pages._ui.runs.engine import RunTable
from qcore.recipe import Recipe
from qcore.report import metrics
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library
from tests.report.factories import report_of, summary_of


def table_of(count: int):
    rows = []
    for number in range(count):
        recipe = Recipe.from_dict({"seed": number})
        rows.append(tables.row(summary_of(recipe, perplexity=31.0 + number)))
    return tables.runs(rows)


def test_points_carry_their_run_in_customdata_and_intervals_become_bars():
    table = table_of(3)
    figure = charts.pareto(table, metrics.SIZES["bits"], metrics.quality("perplexity"))
    points = next(trace for trace in figure.data if trace.customdata is not None)
    assert set(points.customdata) == set(table["id"])
    assert points.error_y.arrayminus == pytest.approx(np.asarray(points.y) * 0.1, rel=1e-5)
    assert np.asarray(points.x).dtype == np.float32


def test_runs_of_one_size_do_not_stand_in_an_axis_of_decades():
    axes = metrics.SIZES["bits"], metrics.quality("perplexity")
    low, high = charts.pareto(table_of(3), *axes).layout.xaxis.range
    assert 10**high / 10**low < 2
    rows = [
        tables.row(summary_of(Recipe.from_dict({"weights": {"format": name}})))
        for name in ("int4", "int8")
    ]
    assert charts.pareto(tables.runs(rows), *axes).layout.xaxis.range is None


def test_labels_on_the_front_name_transforms_and_scales_and_stay_inside():
    recipes = [
        {"weights": {"format": "int2"}, "rotation": {"block": 32}, "scales": {"method": "mse"}},
        {"weights": {"format": "int8"}, "rounding": {"method": "gptq"}},
    ]
    made = [Recipe.from_dict(data) for data in recipes]
    rows = [tables.row(summary_of(r, perplexity=90 - 50 * i)) for i, r in enumerate(made)]
    figure = charts.pareto(tables.runs(rows), metrics.SIZES["bits"], metrics.quality("perplexity"))
    front = next(trace for trace in figure.data if trace.name == "labels of the front")
    words = [label.replace("\u00a0", " ").split() for label in front.text]
    assert words == [["INT2", "R", "b32", "GPTQ", "MSE"], ["INT8", "GPTQ"]]
    assert list(front.textposition) == ["bottom right", "bottom left"]


def test_many_points_go_to_webgl_without_bars():
    table = tables.runs(
        [
            {**tables.row(summary_of(Recipe())), "id": f"{i:016x}", "bits": 2 + i / 1000}
            for i in range(WEBGL_FROM + 1)
        ]
    )
    figure = charts.pareto(table, metrics.SIZES["bits"], metrics.quality("perplexity"))
    points = next(trace for trace in figure.data if trace.customdata is not None)
    assert points.type == "scattergl"
    assert points.error_y.array is None


def test_the_float_line_stands_at_its_value_on_a_logarithmic_axis():
    figure = charts.pareto(
        table_of(2),
        metrics.SIZES["bits"],
        metrics.quality("perplexity"),
        reference=30.0,
        logarithmic=True,
    )
    assert figure.layout.shapes[0].y0 == 30.0
    assert figure.layout.annotations[0].y == pytest.approx(math.log10(30.0))


def test_a_float_perplexity_on_which_runs_disagree_is_not_drawn():
    table = table_of(2)
    axis = metrics.quality("perplexity")
    assert tables.reference(table, axis) == pytest.approx(30.0)
    assert math.isnan(tables.reference(table.assign(float_perplexity=[30.0, 35.0]), axis))


@pytest.mark.parametrize(("low", "high"), [(30, 35), (30, 200), (1e-4, 3), (30, 1e5), (7, 7)])
def test_logarithmic_ticks_are_few_and_round(low, high):
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert all(low * 0.79 <= tick <= high * 1.26 for tick in ticks)


def test_the_table_follows_the_index_and_makes_each_row_once(tmp_path, monkeypatch):
    library = Library(tmp_path)
    library.add(report_of(Recipe()))
    made = []
    whole = tables.row
    monkeypatch.setattr(
        tables, "row", lambda run, *said: (made.append(run.id), whole(run, *said))[1]
    )
    runs = RunTable(Index(library), Labels(tmp_path))
    assert len(runs.table()) == 1
    assert runs.table() is runs.table()
    new = library.add(report_of(Recipe(seed=1)))
    assert len(runs.table()) == 2
    library.remove(new.id)
    assert len(runs.table()) == 1
    assert len(made) == len(set(made)) == 2


def test_runs_in_pieces_are_told_from_those_that_lost_something():
    table = tables.runs(
        [
            tables.row(summary_of(Recipe(seed=seed), perplexity=perplexity))
            for seed, perplexity in enumerate((31.0, 90.0, 1e7))
        ]
    )
    assert tables.broken(table, metrics.quality("perplexity")).tolist() == [False, False, True]
    assert not tables.broken(table.iloc[2:], metrics.quality("perplexity")).any()
    assert not tables.broken(table, metrics.quality("top1_agreement")).any()


AXES = metrics.SIZES["bits"], metrics.quality("perplexity")


def runs_of(*recipes: dict, perplexity: float = 40.0):
    made = [Recipe.from_dict(recipe) for recipe in recipes]
    return tables.runs([tables.row(summary_of(each, perplexity=perplexity)) for each in made])


def test_methods_of_one_model_differ_in_shape_and_not_in_hue_alone():
    methods = ({"rounding": {"method": name}} for name in ("rtn", "gptq", "qronos"))
    figure = charts.pareto(runs_of(*methods), *AXES)
    points = [trace for trace in figure.data if trace.customdata is not None]
    assert len({trace.marker.symbol for trace in points}) == len(points) == 3


def test_every_mark_stands_in_the_legend():
    figure = charts.pareto(runs_of({"rounding": {"method": "rtn"}}, {"seed": 1}), *AXES)
    told = {trace.name for trace in figure.data if trace.showlegend is not False}
    assert told == {"front", "RTN", "GPTQ", "95 % interval", "rim: another point below"}
    alone = charts.pareto(runs_of({}), *AXES)
    assert "rim: another point below" not in {trace.name for trace in alone.data}


def test_a_point_below_another_is_drawn_larger():
    figure = charts.pareto(runs_of({"rounding": {"method": "rtn"}}, {"seed": 1}), *AXES)
    lower, upper = (trace for trace in figure.data if trace.customdata is not None)
    assert lower.marker.size[0] > upper.marker.size[0]


def test_the_float_line_lies_below_the_labels():
    figure = charts.pareto(runs_of({}), *AXES, reference=30.0)
    assert figure.layout.shapes[0].layer == "below"
