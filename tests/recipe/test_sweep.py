"""Lists in a recipe multiply out to runs."""

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.sweep import MAX_RUNS, RefusedRun, expand


def test_lists_multiply_in_the_order_written():
    runs = expand(
        {
            "weights": {"format": ["int8", "int4"], "group": [None, 64]},
            "rounding": {"method": ["rtn", "gptq"]},
        }
    )
    seen = [(r.weights.format, r.weights.group, r.rounding.method) for r in runs if r.weights]
    assert seen[:3] == [("int8", None, "rtn"), ("int8", None, "gptq"), ("int8", 64, "rtn")]
    assert len(set(seen)) == 8


def test_a_recipe_without_lists_is_a_sweep_of_one():
    assert expand({}) == [Recipe()]


def test_whole_parts_may_be_listed_and_hold_lists_themselves():
    runs = expand({"weights": [{"format": ["int8", "int4"]}, None]})
    assert [r.weights and r.weights.format for r in runs] == ["int8", "int4", None]


def test_equal_runs_are_submitted_once():
    assert len(expand({"seed": [0, 0, 1]})) == 2


def test_tasks_are_a_list_already_and_a_list_of_lists_sweeps_them():
    assert len(expand({"evaluation": {"tasks": ["piqa", "arc_easy"]}})) == 1
    runs = expand({"evaluation": {"tasks": [["piqa"], []]}})
    assert [r.evaluation.tasks for r in runs] == [("piqa",), ()]


def test_a_refusal_names_the_combination():
    with pytest.raises(InvalidRecipe, match=r'at weights\.format = "mxfp4".*group 64 contradicts'):
        expand({"weights": {"format": ["int4", "mxfp4"], "group": 64}})


def test_too_many_runs_are_refused_with_the_number():
    with pytest.raises(InvalidRecipe, match=rf"{MAX_RUNS + 1} runs"):
        expand({"seed": list(range(MAX_RUNS + 1))})


def test_nested_lists_count_towards_the_limit():
    many = [{"format": "int4", "group": [None, 16, 32]}, None]
    with pytest.raises(InvalidRecipe, match="runs"):
        expand({"weights": many, "seed": list(range(200))})


def test_an_empty_list_is_refused():
    with pytest.raises(InvalidRecipe, match="empty"):
        expand({"seed": []})


def test_a_sweep_is_counted_before_anything_of_it_is_made(monkeypatch):
    monkeypatch.setattr(Recipe, "from_dict", lambda data: pytest.fail("a recipe was made"))
    with pytest.raises(InvalidRecipe, match=r"1,024,000 runs"):
        expand({"seed": list(range(2000)), "calibration": {"windows": list(range(1, 513))}})


def test_lists_within_lists_are_counted_and_bounded():
    nested = 0
    for _ in range(200):
        nested = [nested]
    with pytest.raises(InvalidRecipe, match="nested too deep"):
        expand({"seed": nested})
    with pytest.raises(InvalidRecipe, match="empty"):
        expand({"weights": [None, {"format": []}]})


def test_a_refused_run_says_which_and_why():
    with pytest.raises(RefusedRun) as refused:
        expand({"weights": {"format": ["int4", "mxfp4"], "group": 64}})
    assert refused.value.at == {"weights.format": "mxfp4"}
    assert refused.value.reason.fact.startswith("group 64 contradicts")


def test_an_error_text_is_bounded_however_long_what_it_quotes():
    with pytest.raises(InvalidRecipe) as refused:
        expand({"x" * 748_000: 1})
    assert len(str(refused.value)) < 1000
