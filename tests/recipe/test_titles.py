"""Titles: one name for a set of formats, and labels that tell runs apart."""

from __future__ import annotations

import itertools

import pytest

from qcore.formats.format import FORMATS
from qcore.recipe import Recipe
from qcore.recipe.titles import (
    format_label,
    formats_label,
    inputs_label,
    labels,
    short_title_of,
    title_of,
    weights_label,
)

SETS = [
    (["mxfp8_e4m3", "mxfp4", "mxfp6_e2m3"], "MXFP4/6/8"),
    (["mxfp4", "mxfp6_e3m2"], "MXFP4/6 E3M2"),
    (["mxfp6_e3m2", "mxfp8_e5m2"], "MXFP6 E3M2/8 E5M2"),
    (["int8", "int4"], "INT4/8"),
    (["int4"], "INT4"),
    (["mxfp4", "mxint8"], "MXFP4 + MXINT8"),
    (["int4_asym", "int8_asym"], "INT4 asym/8 asym"),
    (["int4", "int4_asym"], "INT4/4 asym"),
]


@pytest.mark.parametrize(("names", "label"), SETS)
def test_a_set_of_formats_is_called_by_its_widths(names, label):
    assert formats_label(names) == label
    assert formats_label(names[::-1]) == label


@pytest.mark.parametrize(("names", "label"), SETS[:6])
def test_a_set_of_formats_is_called_the_same_everywhere(names, label):
    narrowest = min(names, key=lambda name: FORMATS[name].bits)
    middle = {"objective": "bytes", "budget": 6.0}
    recipe = Recipe.from_dict(
        {
            "weights": {"format": narrowest},
            "activations": {"format": narrowest},
            "precision": {"formats": names, **middle},
        }
    )
    assert weights_label(recipe) == inputs_label(recipe) == label
    assert title_of(recipe).startswith(f"W {label} 6 bits knapsack · A as W")
    assert short_title_of(recipe).replace("\u00a0", " ").startswith(f"{label} 6 bits knapsack")


def test_a_format_is_called_as_people_call_it():
    told = {"int4": "INT4", "int8_asym": "INT8 asym", "mxfp6_e2m3": "MXFP6 E2M3"}
    assert {name: format_label(name) for name in told} == told


def recipe(**parts) -> Recipe:
    named = {"rounding": {"method": "rtn"}, "scales": {"method": "absmax"}}
    return Recipe.from_dict({**named, **parts})


GPTQ = {"method": "gptq"}


@pytest.mark.parametrize(
    ("recipes", "told"),
    [
        ([recipe()], ["INT4 RTN absmax"]),
        ([recipe(), recipe(weights={"format": "int3"})], ["INT4 RTN absmax", "INT3 RTN absmax"]),
        ([recipe(), recipe(seed=3)], ["INT4 RTN absmax · seed 0", "INT4 RTN absmax · seed 3"]),
        (
            [recipe(rounding=GPTQ), recipe(rounding={**GPTQ, "damping": 0.05}), recipe()],
            [
                "INT4 GPTQ absmax · rounding damping none",
                "INT4 GPTQ absmax · rounding damping 0.05",
                "INT4 RTN absmax · rounding damping none",
            ],
        ),
        (
            [recipe(), recipe(model={"source": "folder", "name": "/models/qwen/"})],
            ["demo · INT4 RTN absmax", "qwen · INT4 RTN absmax"],
        ),
        (
            [recipe(), recipe(calibration=None)],
            ["INT4 RTN absmax · calibration given", "INT4 RTN absmax · calibration none"],
        ),
        (
            [recipe(), recipe(evaluation={"windows": 4}), recipe(evaluation={"windows": 2})],
            [f"INT4 RTN absmax · evaluation windows {count}" for count in (8, 4, 2)],
        ),
        ([recipe(weights=None), recipe(seed=1)], ["float", "INT4 RTN absmax"]),
    ],
)
def test_labels_say_what_differs_and_not_what_is_told(recipes, told):
    assert labels(recipes) == told


def test_labels_of_different_recipes_differ():
    choices = (
        [{}, {"seed": 1}],
        [{}, {"weights": {"format": "int4", "group": 64}}, {"weights": {"format": "mxfp4"}}],
        [{}, {"rotation": {}}, {"rotation": {"signs": True}}, {"rotation": {"block": 32}}],
        [{}, {"scales": {"method": "piso"}}, {"scales": {"method": "piso", "refine": True}}],
        [{}, {"evaluation": {"tasks": ["piqa"]}}, {"calibration": {"windows": 4}}],
    )
    recipes = [
        Recipe.from_dict({key: value for part in parts for key, value in part.items()})
        for parts in itertools.product(*choices)
    ]
    assert len(set(labels(recipes))) == len({one.digest for one in recipes}) == len(recipes)


def test_the_models_are_called_as_they_are_given():
    assert labels([recipe(), recipe()], ["a", "b"]) == [
        "a · INT4 RTN absmax",
        "b · INT4 RTN absmax",
    ]
