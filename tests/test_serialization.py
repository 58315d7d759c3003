"""JSON in, values out: what JSON can say and our files cannot hold is refused with a sentence."""

from __future__ import annotations

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.serialization import parse_json


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9" * 5000, "has 5000 digits"),
        ("[-" + "9" * 400 + "]", "has 401 digits"),
        ("1e999", "beyond the largest"),
        ("[NaN]", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ('"\\ud800"', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_no_file_of_ours_can_hold_is_refused(text, said):
    with pytest.raises(InvalidRecipe, match=said) as refused:
        parse_json(text)
    assert len(str(refused.value)) < 300


def test_all_that_json_can_say_well_is_read():
    text = '{"a": [1, -2, 2.5e-3, true, null, "\\u00e9\\ud83d\\ude00"], "b": 999999999999999999}'
    assert parse_json(text) == {"a": [1, -2, 0.0025, True, None, "é😀"], "b": 10**18 - 1}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"seed": True}, "recipe.seed is true; write a whole number"),
        ({"seed": None}, "recipe.seed is null; give it a value"),
        ({"weights": []}, r"recipe.weights is \[\], not an object"),
        ({"scales": {"method": "best"}}, 'recipe.scales.method is "best"; choose "absmax"'),
        ({"scales": {"refine": 1}}, "recipe.scales.refine is 1; write true or false"),
        ({"evaluation": {"tasks": "piqa"}}, 'recipe.evaluation.tasks is "piqa"; write a list'),
        ({"sed": 1}, "unknown field sed in recipe; known are model"),
    ],
)
def test_values_of_another_type_are_refused_by_their_path(data, said):
    with pytest.raises(InvalidRecipe, match=said):
        Recipe.from_dict(data)
