"""Comparison groups: who belongs together, who does not, and how they follow the index."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from qcore.explore.groups import ComparisonGroup, Groups, groups
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.report.summary import Summary
from tests.explore.factories import mixed_report, recipe_of
from tests.report.factories import report_of


def groups_of(reports: Iterable[Report]) -> list[ComparisonGroup]:
    return groups([Summary.of(report) for report in reports])


def alike(name: str, **changes) -> Recipe:
    """All layers and inputs in one format, no budget."""
    part = {"format": name}
    return Recipe.from_dict(
        {
            "weights": part,
            "activations": part,
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
            **changes,
        }
    )


def test_runs_that_differ_in_how_bits_were_spent_are_one_comparison():
    different = [
        recipe_of("kl", 4.5),
        recipe_of("random", 6.0, seed=7),
        recipe_of("knapsack", 5.0, formats=["mxfp4", "mxfp8_e4m3"]),
        recipe_of("uniform", 4.5, objective="both", fused=False),
    ]
    (found,) = groups_of(mixed_report(recipe) for recipe in different)
    assert len(found.runs) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation": {"windows": 4}},
        {"scales": {"method": "mse"}},
        {"activations": None},
        {"rotation": {}},
    ],
    ids=str,
)
def test_runs_that_differ_in_anything_else_are_two_comparisons(change):
    one = recipe_of()
    other = Recipe.from_dict({**one.to_dict(), **change})
    assert len(groups_of(mixed_report(recipe) for recipe in (one, other))) == 2


def test_the_seed_parts_runs_only_where_a_transform_draws():
    def seeds(rotation) -> list[Recipe]:
        plain = recipe_of().to_dict()
        return [Recipe.from_dict({**plain, "rotation": rotation, "seed": s}) for s in (0, 1)]

    assert len(groups_of(mixed_report(recipe) for recipe in seeds({}))) == 1
    assert len(groups_of(mixed_report(recipe) for recipe in seeds({"signs": True}))) == 2


def test_runs_of_one_format_take_part_beside_a_budget():
    reports = [report_of(alike(name)) for name in ("mxfp4", "mxfp8_e4m3", "int8")]
    (found,) = groups_of([*reports, mixed_report(recipe_of())])
    assert {r.recipe.weights.format for r in found.runs if r.recipe.weights} == {
        "mxfp4",
        "mxfp8_e4m3",
    }
    assert not groups_of(reports)


def test_inputs_of_another_width_take_no_part():
    recipe = Recipe.from_dict({**alike("mxfp4").to_dict(), "activations": {"format": "mxfp8_e4m3"}})
    (found,) = groups_of([report_of(recipe), mixed_report(recipe_of())])
    assert len(found.runs) == 1


def test_a_group_says_what_its_runs_share():
    (found,) = groups_of([mixed_report(recipe_of()), report_of(alike("mxfp4"))])
    assert found.label == (
        "tiny – MXFP4/6/8 weights and inputs · RTN · absmax – LAMBADA evaluation · 8 × 512 tokens"
    )


def test_groups_follow_the_index_and_keep_their_keys(tmp_path):
    library = Library(tmp_path)
    library.add(mixed_report(recipe_of("kl", 4.5), created=1.0))
    kept = Groups(Index(library))
    (first,) = kept.all()
    assert kept.all() is kept.all()
    library.add(mixed_report(recipe_of("dmx", 5.0), created=2.0))
    other = {"evaluation": {"windows": 4}}
    library.add(mixed_report(Recipe.from_dict({**recipe_of().to_dict(), **other}), created=3.0))
    newest, grown = kept.all()
    assert (grown.key, len(grown.runs), len(newest.runs)) == (first.key, 2, 1)
    assert [run.recipe.precision.method for run in grown.runs if run.recipe.precision] == [
        "dmx",
        "kl",
    ]
    assert [group.key for group in Groups(Index(library)).all()] == [newest.key, grown.key]
