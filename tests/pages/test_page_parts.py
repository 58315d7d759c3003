"""Knobs, frames, charts, timelines, words: what needs no browser and no session."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pages._ui import palette, wording
from pages._ui.charts import WEBGL_FROM, log_ticks
from pages._ui.form.presets import PRESETS
from pages._ui.jobs import timeline
from pages._ui.runs import charts, tables
from pages._ui.runs.engine import RunTable
from qcore.errors import InvalidRecipe
from qcore.jobs.protocol import Job, JobState
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of, recipes_of
from qcore.recipe.sweep import expand
from qcore.report import metrics
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library
from tests.report.factories import report_of, summary_of


def digests(recipes):
    return {recipe.digest for recipe in recipes}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_survives_the_form_unchanged(preset):
    recipes = preset.recipes()
    assert digests(recipes_of(axes_of(recipes))) == digests(recipes)


def test_groups_touch_integers_only_and_float_weights_are_rounded_by_nothing():
    axes = axes_of(
        expand(
            [
                {
                    "weights": {"format": ["int4", "int3"], "group": [None, 64]},
                    "scales": {"method": "mse"},
                    "rounding": [{"method": "rtn"}, {"method": "gptq"}],
                },
                {"weights": {"format": "mxfp4"}, "scales": {"method": "mse"}},
                {"weights": None},
            ]
        )
    )
    runs = recipes_of(axes)
    assert len(runs) == 2 * 2 * 2 + 2 + 1
    assert [r.weights.group for r in runs if r.weights and r.weights.format == "mxfp4"] == [
        None
    ] * 2
    assert [r.rounding.method for r in runs if r.weights is None] == ["rtn"]


def test_a_union_of_sweeps_has_no_run_twice():
    assert len(expand([{"seed": [0, 1]}, {"seed": [1, 2]}])) == 3


def test_a_knob_without_a_value_is_refused_by_name():
    axes = {**axes_of([Recipe()]), "scales.method": ()}
    with pytest.raises(InvalidRecipe, match=r"scales\.method: nothing is chosen"):
        recipes_of(axes)


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
    front = next(trace for trace in figure.data if trace.name == "front")
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


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#FFFFFF", "#0F141D"])
@pytest.mark.parametrize("method", palette.METHOD_COLOURS)
def test_every_method_stands_out_from_both_backgrounds(method, background):
    bright, dark = sorted((luminance(palette.colour(method)), luminance(background)))[::-1]
    assert (bright + 0.05) / (dark + 0.05) >= 3.5


def test_methods_stay_apart_without_red_green_vision():
    # Viénot's deuteranope: red and green collapse into one axis of linear light.
    def seen(colour):
        red, green, blue = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
        yellow = 0.29275 * red + 0.70725 * green
        short = -0.02234 * red + 0.02234 * green + blue
        return np.array([yellow, max(short, 0.0)]) ** (1 / 2.2)

    for one, other in itertools.combinations(("RTN", "GPTQ", "Qronos", "GPFQ"), 2):
        distance = np.abs(seen(palette.colour(one)) - seen(palette.colour(other))).max()
        assert distance > 0.08, (one, other)


def running(**values) -> Job:
    return Job("0" * 12, Recipe(), JobState.RUNNING, created=0.0, started=0.0, **values)


def test_time_left_is_what_the_pace_so_far_leaves():
    events = [
        Event("quantize", kind="stage", time=100.0),
        Event("quantize", 50, 200, time=110.0),
    ]
    stage = next(s for s in timeline.steps(running(), events, now=112.0) if s.name == "quantize")
    assert stage.left == pytest.approx(10.0 / 50 * 200 - 12.0)


def test_a_resumed_job_shows_its_newest_attempt_only():
    events = [
        Event("load", 1, 1, kind="stage", time=1.0),
        Event("quantize", 3, 9, time=2.0),
        Event("job", message="starting on cpu", kind="state", time=50.0),
        Event("load", 1, 1, kind="stage", cached=True, time=51.0),
    ]
    states = {step.name: step.state for step in timeline.steps(running(), events, now=52.0)}
    assert states["load"] == "cached"
    assert states["quantize"] == "waiting"


def test_a_stage_that_nobody_expected_takes_its_place():
    events = [Event("load", 1, 1, kind="stage", time=1.0), Event("transform", 1, 4, time=2.0)]
    names = [step.name for step in timeline.steps(running(), events, now=3.0)]
    assert names[:2] == ["load", "transform"]


def test_a_cancelled_job_stops_where_it_was():
    job = Job("0" * 12, Recipe(), JobState.CANCELLED, 0.0, started=0.0, ended=9.0)
    step = timeline.steps(job, [Event("capture", 2, 16, time=1.0)], now=99.0)
    assert {s.name: s.state for s in step}["capture"] == "stopped"


def test_the_table_follows_the_index_and_makes_each_row_once(tmp_path, monkeypatch):
    library = Library(tmp_path)
    library.add(report_of(Recipe()))
    made = []
    whole = tables.row
    monkeypatch.setattr(
        tables, "row", lambda run, label: (made.append(run.id), whole(run, label))[1]
    )
    runs = RunTable(Index(library), Labels(tmp_path))
    assert len(runs.table()) == 1
    assert runs.table() is runs.table()
    new = library.add(report_of(Recipe(seed=1)))
    assert len(runs.table()) == 2
    library.remove(new.id)
    assert len(runs.table()) == 1
    assert len(made) == len(set(made)) == 2


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (wording.size(84_300_000), "84.3 MB"),
        (wording.size(999), "999 B"),
        (wording.duration(200), "3 min 20 s"),
        (wording.duration(3900), "1 h 05 min"),
        (wording.duration(0.44), "0.4 s"),
        (wording.duration(None), "–"),
        (wording.significant(30.357), "30.36"),
        (wording.significant(123456.0), "123,456"),
        (wording.significant(0.00001234), "1.23e-05"),
        (wording.significant(math.nan), "–"),
        (wording.interval(29.111, 31.8), "[29.11, 31.80]"),
        (wording.ago(0, 200_000), "2 days ago"),
        (wording.count(1204, "run"), "1,204 runs"),
    ],
)
def test_numbers_are_written_as_people_read_them(said, meant):
    assert said == meant


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
