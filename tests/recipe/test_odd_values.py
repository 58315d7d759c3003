"""JSON values that no recipe means: each is a sentence that says where it stands."""

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe

LONG = "9" * 400
LONGER = "9" * 5000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'{{"seed": {LONG}}}', "has 400 digits; write at most 18"),
        (f'{{"seed": {LONGER}}}', "has 5000 digits; write at most 18"),
        (f'{{"seed": -{LONG}}}', "has 401 digits; write at most 18"),
        (f'{{"expansion": {{"percent": {LONG}}}}}', "has 400 digits; write at most 18"),
        ('{"expansion": {"percent": NaN}}', "NaN is no number that JSON has a word for"),
        ('{"expansion": {"percent": 1e999}}', "1e999 is beyond the largest"),
        (f'{{"evaluation": {{"windows": {LONG}}}}}', "has 400 digits; write at most 18"),
        ('{"seed": 9007199254740993}', "recipe.seed is .*; write a number from"),
        ('{"evaluation": {"windows": 9000000}}', "9000000 windows are too many; ask for at most"),
        (f'{{"weights": {{"group": {LONG}}}}}', "has 400 digits; write at most 18"),
        ('{"model": {"source": "folder", "name": "a\\u0000b"}}', r"holds \\x00, which no name has"),
        (
            '{"model": {"source": "folder", "name": "a\\ud800b"}}',
            r"holds half of a character, '\\ud800'",
        ),
        ('{"calibration": {"text": "file:a\\ud800"}}', r"holds half of a character, '\\ud800'"),
        ('{"calibration": {"text": "file:a\\u0000"}}', r"holds \\x00, which no name has"),
        ('{"\\ud800": 1}', r"holds half of a character, '\\ud800'"),
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
