"""The part of a recipe that spends a bit budget."""

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand


def recipe(**precision):
    return {"weights": {"format": "mxfp4"}, "precision": precision}


def test_a_precision_part_survives_json():
    asked = Recipe.from_dict(recipe(pins=[{"layer": "down_proj", "format": "mxfp8_e4m3"}]))
    assert Recipe.from_json(asked.to_json()) == asked
    assert asked.precision is not None
    assert asked.precision.narrow_to_wide == ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")


def test_a_recipe_without_the_part_says_nothing_of_it():
    assert "precision" not in Recipe().to_dict()


def test_budgets_and_methods_multiply_in_a_sweep():
    sweep = recipe(budget=[4.25, 5], method=["kl", "knapsack"])
    assert len(expand(sweep)) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"budget": 3.9}, "3.9 bits lies outside 4 to 8"),
        ({"budget": 8.5}, "8.5 bits lies outside 4 to 8"),
        ({"budget": None}, "needs a budget"),
        ({"method": "manual"}, "manual assignment has no budget"),
        ({"formats": []}, "not distinct"),
        ({"formats": ["mxfp4", "mxfp4"]}, "not distinct"),
        ({"formats": ["mxfp4", "int8"]}, "do not go together"),
        ({"formats": ["mxfp4", "mxfp6_e2m3", "mxfp6_e3m2"]}, "same width"),
        ({"formats": ["mxfp6_e2m3", "mxfp8_e4m3"], "budget": 7}, "the weights are mxfp4"),
        ({"pins": [{"layer": "3", "format": "int4"}]}, "not among the formats"),
        (
            {
                "pins": [
                    {"layer": "3", "format": "mxfp4"},
                    {"layer": "3", "format": "mxfp8_e4m3"},
                ]
            },
            "pinned to mxfp4 and to mxfp8_e4m3",
        ),
        ({"objective": "both"}, "counts activations"),
        ({"training": {"steps": 0}}, "0 steps"),
        ({"probe": {"windows": 0}}, "0 probe windows"),
    ],
)
def test_what_no_budget_can_mean_is_refused(change, says):
    with pytest.raises(InvalidRecipe, match=says):
        Recipe.from_dict(recipe(**change))


def test_dmx_refuses_integers():
    with pytest.raises(InvalidRecipe, match="MX elements"):
        Recipe.from_dict(
            {
                "weights": {"format": "int4"},
                "precision": {"method": "dmx", "formats": ["int4", "int8"]},
            }
        )


def test_integer_activations_cannot_share_the_width_of_mx_weights():
    with pytest.raises(InvalidRecipe, match="cannot share the width"):
        Recipe.from_dict({**recipe(), "activations": {"format": "int8_asym"}})


def test_sensitivities_need_calibration_text():
    with pytest.raises(InvalidRecipe, match="needs calibration text"):
        Recipe.from_dict({**recipe(), "calibration": None})
