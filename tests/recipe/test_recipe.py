"""A recipe says one thing, has one name, and is refused at the door when it makes no sense."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.recipe import (
    TASKS,
    Activations,
    Calibration,
    Evaluation,
    ModelRef,
    Recipe,
    Rounding,
    ScalesPart,
    Weights,
)
from qcore.recipe.titles import short_title_of, title_of

groups = st.sampled_from([None, 32, 64])
formats = st.sampled_from([name for name, fmt in FORMATS.items() if fmt.kind == "int"])
recipes = st.builds(
    Recipe,
    weights=st.builds(Weights, formats, groups),
    activations=st.none() | st.builds(Activations, st.sampled_from(sorted(FORMATS))),
    scales=st.builds(ScalesPart, st.sampled_from(["absmax", "mse"])),
    rounding=st.builds(Rounding, st.just("gptq"), st.booleans(), st.none() | st.floats(0.001, 1)),
    calibration=st.builds(Calibration, windows=st.integers(1, 99)),
    evaluation=st.builds(
        Evaluation,
        tasks=st.lists(st.sampled_from(TASKS), unique=True).map(tuple),
        limit=st.none() | st.integers(1, 500),
    ),
    seed=st.integers(0, 2**32 - 1),
)


@given(recipes)
def test_a_recipe_survives_the_way_through_json(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(recipes, recipes)
def test_recipes_share_a_digest_exactly_when_they_are_equal(one, other):
    assert (one.digest == other.digest) == (one == other)


def test_spelling_out_the_defaults_changes_no_digest():
    assert Recipe.from_dict({}).digest == Recipe.from_dict(Recipe().to_dict()).digest


def test_a_whole_number_may_be_written_as_a_float_or_an_integer():
    whole = Recipe.from_dict({"rounding": {"method": "gptq", "damping": 1}})
    assert whole == Recipe.from_dict({"rounding": {"method": "gptq", "damping": 1.0}})
    assert whole.digest == Recipe.from_dict({"rounding": {"method": "gptq", "damping": 1.0}}).digest


def test_the_digest_of_the_default_recipe_is_what_it_was():
    """Stored reports and caches are keyed by it: a change here orphans them, so mean it."""
    assert Recipe().digest == "ba315131fe3c89455c67a3616aa0e3e2b93303927578e9e92ba4be3cf90b423e"
    before = Recipe(scales=ScalesPart("mse"), rounding=Rounding("rtn"))
    assert before.digest == "7412f43551fb18dc495564e032096916d8c94abcc8be8ee6174c5cf3ed0966ba"


@pytest.mark.parametrize(
    ("data", "rounding", "scales", "objective"),
    [
        ({}, "gptq", "piso", "diagonal"),
        ({"weights": {"format": "int3_asym", "group": 64}}, "gptq", "piso", "diagonal"),
        ({"weights": {"format": "mxfp4"}}, "gptq", "absmax", "self"),
        ({"weights": None}, "rtn", "absmax", "self"),
        ({"calibration": None}, "rtn", "absmax", "self"),
        ({"rounding": {"method": "rtn"}}, "rtn", "piso", "diagonal"),
        ({"scales": {"storage": "bfloat16"}}, "gptq", "piso", "diagonal"),
        ({"scales": {"refine": True}}, "gptq", "piso", "self"),
        ({"scales": {"method": "piso"}}, "gptq", "piso", "self"),
        (
            {"weights": {"format": "int4"}, "precision": {"formats": ["int4", "int8"]}},
            "gptq",
            "absmax",
            "self",
        ),
    ],
)
def test_methods_that_nobody_names_are_settled_by_what_the_recipe_allows(
    data, rounding, scales, objective
):
    recipe = Recipe.from_dict(data)
    assert recipe.rounding.method == rounding
    assert (recipe.scales.method, recipe.scales.objective) == (scales, objective)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_recipe_in_which_auto_is_written_is_the_one_that_names_its_outcome():
    auto = Recipe.from_dict({"scales": {"method": "auto"}, "rounding": {"method": "auto"}})
    assert auto.digest == Recipe().digest
    assert '"auto"' not in auto.to_json()


def test_a_recipe_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_no_weight_format_and_no_calibration_are_choices_that_survive_json():
    float_recipe = Recipe(weights=None, calibration=None)
    assert json.loads(float_recipe.to_json())["weights"] is None
    assert Recipe.from_json(float_recipe.to_json()) == float_recipe


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        ({"wieghts": {}}, "unknown field wieghts in recipe; known are model, weights"),
        ({"weights": {"bits": 4}}, "unknown field bits in recipe.weights"),
        ({"weights": {"format": "int9"}}, "unknown format 'int9'"),
        ({"weights": {"format": "mxfp4", "group": 64}}, "group 64 contradicts mxfp4"),
        ({"weights": {"group": 1}}, "group 1 is less than 2"),
        ({"weights": "int4"}, 'recipe.weights is "int4", not an object'),
        ({"seed": 1.5}, "recipe.seed is 1.5; write a whole number"),
        ({"seed": True}, "recipe.seed is true"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"model": {"source": "web"}}, 'recipe.model.source is "web"; choose "demo"'),
        ({"model": {"source": "hub"}}, "source 'hub' has no name"),
        ({"model": {"name": "x"}}, "the demo model has no name"),
        (
            {"model": {"source": "folder", "name": "x", "revision": "main"}},
            "a folder has no revision",
        ),
        ({"weights": None, "rounding": {"method": "gptq"}}, "gptq has no weights to round"),
        ({"calibration": None, "rounding": {"method": "gptq"}}, "gptq needs calibration text"),
        ({"rounding": {"damping": 0}}, "damping 0 is out of range"),
        (
            {"rounding": {"method": "rtn", "inputs": "quantized"}, "scales": {"method": "mse"}},
            "round-to-nearest with data-free scales looks at no inputs",
        ),
        (
            {"rounding": {"method": "gptq", "inputs": "block"}},
            "gptq compares with no float inputs",
        ),
        (
            {"scales": {"method": "mse", "refine": True, "storage": "bfloat16"}},
            "refine is PiSO's",
        ),
        (
            {
                "scales": {"storage": "float32"},
                "precision": {"objective": "bytes", "budget": 4.5, "formats": ["int4", "int8"]},
            },
            "a budget of bytes counts a scale as 16 bits",
        ),
        ({"scales": {"method": "piso", "objective": "cross"}}, "the cross objective compares"),
        ({"rounding": {"method": "gpfq", "interleaving": "group"}}, "no group-interleaved form"),
        ({"scales": {"method": "piso"}, "calibration": None}, "PiSO needs calibration text"),
        ({"calibration": {"text": "nonsense"}}, "unknown text 'nonsense'"),
        ({"calibration": {"windows": 0}}, "0 windows are none"),
        ({"evaluation": {"length": 1}}, "window length 1 is out of range"),
        ({"evaluation": {"tasks": ["mmlu"]}}, "unknown tasks mmlu"),
        ({"evaluation": {"tasks": ["piqa", "piqa"]}}, "a task stands twice"),
        ({"evaluation": {"limit": 0}}, "a limit of 0 questions"),
        ({"model": None}, "recipe.model is null"),
        ([], "recipe is [], not an object"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_with_the_reason(data, fact):
    with pytest.raises(InvalidRecipe) as refusal:
        Recipe.from_dict(data)
    assert fact in str(refusal.value)
    assert refusal.value.remedy


def test_broken_json_is_refused_with_its_place():
    with pytest.raises(InvalidRecipe, match=r"not JSON: .* line 1 column 2"):
        Recipe.from_json("{")


def test_titles_name_what_differs():
    assert title_of(Recipe(weights=None)) == "float"
    assert "INT3 g64" in title_of(Recipe(weights=Weights("int3", 64)))
    assert "float32" in title_of(Recipe(scales=ScalesPart("absmax", storage="float32")))
    assert "float32" not in title_of(
        Recipe(weights=Weights("mxfp4"), scales=ScalesPart(storage="float32"))
    )
    assert "A INT8 asym" in title_of(Recipe(activations=Activations()))
    assert ModelRef().source == "demo"


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ({"weights": None}, "float"),
        ({"weights": {"format": "int4", "group": 64}}, "INT4 g64 GPTQ"),
        ({"scales": {"method": "mse"}, "rounding": {"method": "qronos"}}, "INT4 Qronos MSE"),
        ({"rotation": {}, "activations": {}}, "INT4 A INT8 R GPTQ"),
        ({"rotation": {"r4": False}}, "INT4 R fused GPTQ"),
        (
            {
                "weights": {"format": "mxfp6_e2m3"},
                "rotation": {"block": 32},
                "permutation": {},
                "expansion": {"percent": 5},
                "scales": {"method": "mse"},
                "rounding": {"method": "rtn"},
            },
            "MXFP6 E2M3 R b32 MassDiff +5 % RTN MSE",
        ),
    ],
)
def test_short_titles_name_formats_transforms_rounding_and_unusual_scales(data, label):
    assert short_title_of(Recipe.from_dict(data)).replace("\u00a0", " ") == label
