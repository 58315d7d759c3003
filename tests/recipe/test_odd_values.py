"""JSON values that no recipe means: each is a sentence that says where it stands."""

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.serialization import parse_json

LONG = "9" * 400
LONGER = "9" * 5000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'{{"seed": {LONG}}}', "recipe.seed is a whole number of 1329 bits; write a number from"),
        (f'{{"seed": {LONGER}}}', "not JSON: a whole number of 5000 digits"),
        (f'{{"seed": -{LONG}}}', "recipe.seed is a whole number of 1329 bits"),
        (f'{{"expansion": {{"percent": {LONG}}}}}', "percent is a whole number of 1329 bits; writ"),
        ('{"expansion": {"percent": NaN}}', "not JSON: NaN is no JSON number"),
        ('{"expansion": {"percent": 1e999}}', "percent is Infinity; write a finite number"),
        (f'{{"evaluation": {{"windows": {LONG}}}}}', "windows is a whole number of 1329 bits"),
        ('{"evaluation": {"windows": 9000000}}', "9000000 windows are too many; ask for at most"),
        (f'{{"weights": {{"group": {LONG}}}}}', "group is a whole number"),
        ('{"model": {"source": "folder", "name": "a\\u0000b"}}', r"holds \\x00, which no name has"),
        ('{"model": {"source": "folder", "name": "a\\ud800b"}}', r"holds \\ud800, which no name"),
        ('{"calibration": {"text": "file:a\\ud800"}}', r"holds \\ud800, which no name has"),
        ('{"calibration": {"text": "file:a\\u0000"}}', r"holds \\x00, which no name has"),
        ('{"\\ud800": 1}', r"unknown field \\ud800 in recipe"),
        (f'{{"{"x" * 5000}": 1}}', "unknown field x{60} in recipe"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_value_that_no_recipe_means_is_refused_where_it_stands(text, sentence):
    with pytest.raises(InvalidRecipe, match=sentence) as found:
        Recipe.from_json(text)
    assert len(str(found.value)) < 600
    str(found.value).encode()


def test_a_byte_order_mark_is_no_part_of_a_recipe():
    assert Recipe.from_json('\ufeff{"seed": 3}') == Recipe.from_json('{"seed": 3}')


def test_a_large_number_written_without_a_point_is_still_a_number():
    assert parse_json("[1" + "0" * 300 + "]") == [10**300]
