"""Presets and knobs: what the form makes of them, without a session."""

from __future__ import annotations

import pytest

from pages._ui.form.presets import PRESETS
from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of, recipes_of
from qcore.recipe.sweep import expand


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
