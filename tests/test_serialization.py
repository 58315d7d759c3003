"""JSON in, values out: what JSON can say and our files cannot hold is refused with a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.serialization import from_hint, parse_json


@pytest.mark.parametrize(
    "text", ["9" * 5000, "[NaN]", "-Infinity", "[" * 100_000, "", "{", '{"a": 1,}']
)
def test_what_no_file_of_ours_can_hold_is_refused(text):
    with pytest.raises(InvalidRecipe, match="not JSON") as refused:
        parse_json(text)
    assert len(str(refused.value)) < 300
    assert "sys." not in str(refused.value)  # what the interpreter advises its programmer


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize(("name", "wrong"), [("window_losses", "1e999"), ("steps", "9" * 30)])
def test_numbers_in_long_lists_are_judged_one_by_one(name, wrong, at):
    values = ["1.5", "2.5", "3.5"] if name == "window_losses" else ["1", "2", "3"]
    values[at] = wrong

    @dataclass(frozen=True)
    class Holder:
        window_losses: tuple[float, ...] = ()
        steps: tuple[int, ...] = ()

    with pytest.raises(InvalidRecipe, match=f"holder.{name} is"):
        from_hint(Holder, parse_json(f'{{"{name}": [{", ".join(values)}]}}'), "holder")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"seed": True}, "recipe.seed is true; write a whole number"),
        ({"seed": None}, "recipe.seed is null; give it a value"),
        ({"weights": []}, r"recipe.weights is \[\], not an object"),
        ({"scales": {"method": "best"}}, 'recipe.scales.method is "best"; choose "auto", "absmax"'),
        ({"scales": {"refine": 1}}, "recipe.scales.refine is 1; write true or false"),
        ({"evaluation": {"tasks": "piqa"}}, 'recipe.evaluation.tasks is "piqa"; write a list'),
        ({"sed": 1}, "unknown field sed in recipe; known are model"),
    ],
)
def test_values_of_another_type_are_refused_by_their_path(data, said):
    with pytest.raises(InvalidRecipe, match=said):
        Recipe.from_dict(data)
