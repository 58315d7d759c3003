"""Titles of runs that stand together: none says less than what tells it from its neighbours."""

from __future__ import annotations

from pages._ui.jobs.words import job_titles
from pages._ui.runs import fields
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe
from qcore.recipe.axes import flatten
from qcore.recipe.titles import title_of
from tests.pages.helpers_app import texts
from tests.report.factories import report_of


def told(*recipes: dict) -> list[str]:
    made = [Recipe.from_dict(each) for each in recipes]
    return fields.apart([title_of(each) for each in made], [flatten(each) for each in made])


def test_only_runs_of_one_title_say_what_else_differs():
    first, second, other = told(
        {"seed": 1}, {"seed": 2}, {"weights": {"format": "int3"}, "seed": 3}
    )
    assert first.endswith(" · seed 1")
    assert second.endswith(" · seed 2")
    assert "seed" not in other


def test_a_value_that_a_run_does_not_have_is_not_said():
    common = {"rounding": {"method": "rtn"}, "scales": {"method": "absmax"}}
    plain, read = told({**common, "calibration": None}, {**common, "calibration": {"windows": 4}})
    assert "calibration" not in plain
    assert "calibration text LAMBADA calibration" in read
    assert "calibration windows 4" in read


def test_the_model_is_said_where_there_are_several():
    value = flatten(Recipe())
    assert fields.apart(["a", "a"], [value, value], ["x", "y"]) == ["x · a", "y · a"]
    assert fields.apart(["a", "b"], [value, value], ["x", "x"]) == ["a", "b"]


def test_jobs_of_a_sweep_are_told_apart():
    jobs = [Job(f"{seed:012x}", Recipe(seed=seed), JobState.QUEUED, 0.0) for seed in range(3)]
    assert len(set(job_titles(jobs))) == 3


def test_compare_tells_runs_apart_by_their_evaluation_and_a_short_id(bench):
    for windows in (4, 8):
        recipe = Recipe.from_dict({"evaluation": {"windows": windows}})
        bench.library.add(report_of(recipe))
    labels = bench.open("compare").get_by_key("compare.runs").options
    assert any("4 × 512 tokens" in label for label in labels)
    assert len(set(labels)) == 2


def test_the_newest_runs_on_home_carry_a_short_id(bench):
    run = bench.library.add(report_of(Recipe()))
    bench.queue.add(Recipe(), JobState.FINISHED, report=run.id)
    app = bench.open()
    links = [element.proto.label for element in app.get("page_link")]
    assert any(run.id[:6] in label for label in links), texts(app)
