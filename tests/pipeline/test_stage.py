"""The table of stages: what every recipe goes through, and that keys say what a stage needs."""

from __future__ import annotations

from itertools import combinations

import pytest

from qcore.errors import InvalidRecipe
from qcore.pipeline import STAGES, Keys, stage_names
from qcore.pipeline.stage import stage_of
from qcore.recipe import Recipe
from tests.house.recipes_pinned import RECIPES, resolved


def keys_of(name: str) -> Keys:
    recipe = Recipe.from_dict(RECIPES[name])
    return Keys(recipe, resolved(recipe))


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_stage_needs_was_announced_before_it(name: str) -> None:
    keys = keys_of(name)
    order = stage_names(keys.recipe)
    for place, stage in enumerate(order):
        assert set(keys.needs(stage)) <= set(order[:place]), stage


@pytest.mark.parametrize("name", RECIPES)
def test_no_two_stages_of_a_recipe_share_a_key_or_an_entry(name: str) -> None:
    keys = keys_of(name)
    entries = {stage: set(keys.entries(stage, 3)) for stage in stage_names(keys.recipe)}
    for one, other in combinations(entries, 2):
        assert keys.key(one) != keys.key(other)
        assert not entries[one] & entries[other], (one, other)


def test_needs_follow_the_recipe() -> None:
    assert keys_of("float").needs("reference") == ["load"]
    assert keys_of("int4").needs("quantize") == ["load", "capture"]
    assert keys_of("w4a4 rotated").needs("transform") == ["load"]
    permuted = keys_of("w4a4 blocks massdiff gptq")
    assert permuted.needs("transform") == ["load", "capture"]
    assert permuted.needs("evaluate") == ["reference", "quantize"]
    assert keys_of("knapsack of 5 bits").needs("assign") == ["load", "sensitivity"]
    assert keys_of("dmx of 5 bits").needs("assign") == ["load"]
    assert keys_of("tasks").needs("task piqa") == ["quantize"]


def test_a_stage_that_a_recipe_lacks_has_the_key_of_what_stands_in_for_it() -> None:
    keys = keys_of("float")
    assert keys.key("quantize") == keys.transform == keys.load
    assert keys.capture == keys.assign == ""


def test_what_stands_in_and_what_must_be_at_hand_are_stages() -> None:
    names = {row.name for row in STAGES}
    assert len(names) == len(STAGES)
    for row in STAGES:
        assert {row.otherwise or "load", row.within or "load", *row.remade_from} <= names


@pytest.mark.parametrize("name", ["", "distil", "task", "quantize piqa", "report"])
def test_a_name_of_no_stage_is_refused(name: str) -> None:
    keys = keys_of("tasks")
    with pytest.raises(InvalidRecipe, match="no stage"):
        stage_of(keys.recipe, name)
    with pytest.raises(InvalidRecipe, match="no stage"):
        keys.key(name)


def test_an_attribute_that_is_no_stage_is_missing() -> None:
    with pytest.raises(AttributeError, match="kapture"):
        _ = keys_of("int4").kapture
