"""Recipes taken apart: every choice of techniques is a recipe, and equal ones are found equal."""

from __future__ import annotations

import itertools

import pytest

from pages._ui.form.presets import DEMO, PRESETS
from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.recipe.techniques import TECHNIQUES, essence, techniques_of, with_only

MIXQUANT = {
    "weights": {"format": "int4"},
    "activations": {"format": "int4_asym"},
    "rotation": {"block": 32},
    "permutation": {"method": "massdiff"},
    "scales": {"method": "mse"},
    "rounding": {"method": "qronos", "inputs": "quantized", "damping": 0.01},
}
WHOLE = {
    **MIXQUANT,
    "expansion": {"percent": 5},
    "weights": {"format": "mxfp4", "scale_rounding": "midmax"},
    "activations": {"format": "mxfp4"},
    "scales": {"method": "piso", "objective": "cross"},
    "precision": {"method": "knapsack", "budget": 5},
}


def recipe(**parts) -> Recipe:
    return Recipe.from_dict(parts)


def test_the_plain_recipe_has_no_technique_and_keeps_formats_and_inputs():
    plain = with_only(recipe(**MIXQUANT), ())
    assert techniques_of(plain) == ()
    assert plain == recipe(
        weights={"format": "int4"},
        activations={"format": "int4_asym"},
        scales={"method": "absmax"},
        rounding={"method": "rtn"},
    )


def test_techniques_stand_in_the_order_in_which_they_act():
    assert techniques_of(recipe(**WHOLE)) == TECHNIQUES
    found = techniques_of(recipe(**MIXQUANT))
    assert found == ("transform", "permutation", "scale", "rounding", "inputs")


def test_what_the_default_recipe_chooses_for_us_counts_as_techniques():
    assert techniques_of(Recipe()) == ("scale", "rounding")


def test_a_recipe_with_all_of_its_techniques_is_itself():
    for each in (recipe(**WHOLE), recipe(**MIXQUANT), Recipe()):
        assert with_only(each, TECHNIQUES) == each


def test_a_permutation_and_an_expansion_go_with_the_rotation():
    left = with_only(recipe(**WHOLE), [name for name in TECHNIQUES if name != "transform"])
    assert techniques_of(left) == ("scale", "rounding", "inputs", "budget")


def test_quantized_inputs_go_where_nothing_looks_at_inputs():
    left = with_only(recipe(**MIXQUANT), [name for name in TECHNIQUES if name != "rounding"])
    assert techniques_of(left) == ("transform", "permutation", "scale")
    piso = recipe(**{**MIXQUANT, "scales": {"method": "piso"}})
    left = with_only(piso, [name for name in TECHNIQUES if name != "rounding"])
    assert techniques_of(left) == ("transform", "permutation", "scale", "inputs")


def test_the_cross_objective_is_self_while_inputs_are_float():
    whole = recipe(
        scales={"method": "piso", "objective": "cross"},
        rounding={"method": "qronos", "inputs": "quantized"},
    )
    assert with_only(whole, ("scale", "rounding")).scales.objective == "self"
    assert with_only(whole, ("scale", "inputs")).scales.objective == "cross"


def test_inputs_from_block_to_block_are_quantized_ones_where_nothing_compares():
    whole = recipe(scales={"method": "piso"}, rounding={"method": "qronos", "inputs": "block"})
    assert with_only(whole, ("scale", "inputs")).rounding.inputs == "quantized"
    assert with_only(whole, ("rounding", "inputs")).rounding.inputs == "block"


ROUNDINGS = [
    {"method": "rtn"},
    {"method": "gptq", "act_order": False},
    {"method": ["gpfq", "qronos"], "inputs": ["quantized", "block"]},
    {"method": "gptq", "inputs": ["float", "quantized"], "interleaving": ["decoupled", "group"]},
    {"method": "rtn", "inputs": "quantized"},
]
SCALES = [
    {"method": ["absmax", "mse"]},
    {"method": "piso", "objective": ["self", "cross", "diagonal", "identity"]},
]
FORMATS = [
    {"weights": {"format": "int4", "group": 32}},
    {"weights": {"format": "mxfp4", "scale_rounding": "midmax"}, "activations": [None, {}]},
    {"weights": None, "activations": {"format": "int8_asym"}},
]
TURNS = [
    {},
    {"rotation": {"r4": False}},
    {
        "rotation": {"o_proj": True, "r2": False, "block": 16},
        "permutation": [{"values": True}, {"method": "identity"}],
        "expansion": [None, {"percent": 3}],
    },
]
BUDGETS = [None, {"method": ["knapsack", "manual", "dmx"]}]


def many() -> list[Recipe]:
    """Recipes of every kind, those that are refused left out."""
    found: dict[str, Recipe] = {}
    for scales, rounding, formats, turn, budget in itertools.product(
        SCALES, ROUNDINGS, FORMATS, TURNS, BUDGETS
    ):
        whole = {**formats, **turn, "scales": scales, "rounding": rounding}
        if budget is not None:
            methods = budget["method"]
            whole["precision"] = [
                {"method": name, "budget": None if name == "manual" else 5} for name in methods
            ]
        for one in _singles(whole):
            try:
                made = Recipe.from_dict(one)
            except InvalidRecipe:
                continue
            found[made.digest] = made
    return list(found.values())


def _singles(whole: dict) -> list[dict]:
    """Every combination as plain JSON, valid or not."""
    found: list[dict] = [{}]
    for name, part in whole.items():
        choices = part if isinstance(part, list) else [part]
        plain = []
        for choice in choices:
            if not isinstance(choice, dict):
                plain.append(choice)
                continue
            keys = list(choice)
            values = [v if isinstance(v, list) else [v] for v in choice.values()]
            plain += [dict(zip(keys, row, strict=True)) for row in itertools.product(*values)]
        found = [{**one, name: choice} for one in found for choice in plain]
    return found


def test_every_choice_of_techniques_of_every_kind_of_recipe_is_a_recipe():
    recipes = many()
    assert len(recipes) > 300
    for each in recipes:
        names = techniques_of(each)
        choices = [names[:count] for count in range(len(names) + 1)]
        choices += [tuple(n for n in names if n != name) for name in names]
        choices += list(itertools.combinations(names, 2))
        for kept in choices:
            made = with_only(each, kept)  # raises InvalidRecipe where it is none
            assert set(techniques_of(made)) <= set(kept)
            assert (made.weights is None) == (each.weights is None)
        assert essence(with_only(each, names)) == essence(each)


def test_every_preset_can_be_taken_apart():
    for preset in (DEMO, *PRESETS):
        for each in preset.recipes():
            for name in techniques_of(each):
                left = with_only(each, [n for n in techniques_of(each) if n != name])
                assert name not in techniques_of(left)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"seed": 3}, {}),
        ({"calibration": {"windows": 3}}, {"calibration": None}),
        ({"rounding": {"method": "rtn", "damping": 0.02}}, {}),
        ({"rounding": {"method": "rtn", "interleaving": "decoupled"}}, {}),
        ({"evaluation": {"tasks": ["piqa"]}}, {}),
    ],
)
def test_what_changes_no_loss_changes_no_essence(one, other):
    plain = {"scales": {"method": "absmax"}, "rounding": {"method": "rtn"}}
    assert essence(recipe(**{**plain, **one})) == essence(recipe(**{**plain, **other}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rotation": {"signs": True}, "seed": 3}, {"rotation": {"signs": True}}),
        ({"rounding": {"method": "gptq", "damping": 0.02}}, {"rounding": {"method": "gptq"}}),
        ({"calibration": {"windows": 3}}, {}),
        ({"evaluation": {"windows": 3}}, {}),
        ({"weights": {"format": "int4", "group": 32}}, {}),
    ],
)
def test_what_changes_losses_changes_the_essence(one, other):
    assert essence(recipe(**one)) != essence(recipe(**other))


def test_a_sweep_of_equal_losses_has_one_essence():
    same = expand(
        {
            "weights": {"format": "mxfp4"},
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
            "seed": [0, 1, 2],
        }
    )
    assert len({essence(each).digest for each in same}) == 1
