"""A sweep by recipe paths: what it multiplies out to, what it leaves out, and the way back."""

from __future__ import annotations

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.axes import Axes, axes_of, choices, counting, defaults, recipes_of
from qcore.recipe.pins import read_pins
from qcore.recipe.relevance import paths
from qcore.recipe.sweep import expand

MX = {"format": "mxfp4"}
PINS = [{"layer": "down_proj", "format": "mxfp8_e4m3"}, {"layer": "3", "format": "mxfp4"}]


def digests(recipes):
    return {recipe.digest for recipe in recipes}


def changed(values) -> Axes:
    """The default form with some knobs turned."""
    return {**axes_of([Recipe()]), **values}


@pytest.mark.parametrize(
    "sweep",
    [
        {"rotation": {}},
        {"rotation": {"r1": False, "r2": [True, False], "block": [16, None], "o_proj": True}},
        {"rotation": {"signs": [False, True]}, "seed": 5},
        {"rotation": {"block": 32}, "permutation": {"method": ["identity", "zigzag"]}},
        {"rotation": {}, "expansion": [None, {"percent": [2.5, 10]}]},
        {"rotation": [None, {"block": 64}], "rounding": {"method": "gpfq"}},
        {
            "rotation": {"block": 32, "o_proj": True, "r2": False},
            "permutation": {"method": "massdiff", "values": [False, True]},
        },
        {"rounding": {"method": ["gptq", "qronos"], "interleaving": ["layer", "group"]}},
        {"rounding": {"method": "qronos", "inputs": "quantized", "damping": [None, 0.001]}},
        {"rounding": {"method": "gpfq", "inputs": ["quantized", "block"]}},
        {
            "scales": {
                "method": "piso",
                "objective": ["self", "cross"],
                "refine": [False, True],
                "signed": True,
                "storage": "bfloat16",
            },
            "rounding": {"method": ["rtn", "qronos"], "inputs": "quantized"},
        },
        {
            "scales": {"method": "piso", "grouping": "independent"},
            "rounding": {"interleaving": "decoupled"},
        },
        {"scales": {"method": "piso", "objective": "identity"}},
    ],
    ids=str,
)
def test_going_into_the_form_and_out_again_changes_no_run(sweep):
    recipes = expand(sweep)
    assert digests(recipes_of(axes_of(recipes))) == digests(recipes)


def test_a_run_without_rotation_ignores_what_only_a_rotation_asks():
    runs = recipes_of(
        changed(
            {
                "rotation": (False, True),
                "rotation.block": (16, 32),
                "permutation.method": (None, "massdiff"),
                "expansion.percent": (None, 5.0),
            }
        )
    )
    assert len(runs) == 1 + 2 * 2 * 2
    assert [run.rotation for run in runs].count(None) == 1


def test_data_free_rounding_is_asked_for_once_however_error_correction_is_swept():
    runs = recipes_of(
        changed(
            {
                "scales.method": ("absmax", "piso"),
                "scales.refine": (False, True),
                "rounding.method": ("rtn", "gptq"),
                "rounding.interleaving": ("layer", "decoupled"),
                "rounding.damping": (None, 0.1),
            }
        )
    )
    counts = {
        (scale, method): sum(
            run.scales.method == scale and run.rounding.method == method for run in runs
        )
        for scale in ("absmax", "piso")
        for method in ("rtn", "gptq")
    }
    assert counts == {
        ("absmax", "rtn"): 1,
        ("absmax", "gptq"): 2 * 2,
        ("piso", "rtn"): 2 * 2,
        ("piso", "gptq"): 2 * 2 * 2,
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"rounding.method": ("gpfq",), "rounding.interleaving": ("group",)},
            "no group-interleaved form",
        ),
        ({"scales.method": ("piso",), "scales.objective": ("cross",)}, "inputs are float"),
        (
            {
                "rotation": (True,),
                "rotation.r4": (False,),
                "permutation.method": ("massdiff",),
            },
            "there is none",
        ),
        (
            {"rotation": (True,), "rotation.r4": (False,), "expansion.percent": (5.0,)},
            "there is none",
        ),
        ({"rotation": (True,), "rotation.r4": (False,), "rotation.block": (16,)}, "there are none"),
        ({"rotation": (True,), "expansion.percent": (120.0,)}, "out of range"),
        (
            {
                "rotation": (True,),
                "permutation.method": ("random",),
                "permutation.values": (True,),
            },
            "permuting values matters",
        ),
        ({"rotation": (True,), "rotation.block": ()}, r"rotation\.block: nothing is chosen"),
        ({"scales.storage": ()}, r"scales\.storage: nothing is chosen"),
    ],
    ids=str,
)
def test_what_a_recipe_refuses_the_form_refuses_in_its_words(values, sentence):
    with pytest.raises(InvalidRecipe, match=sentence):
        recipes_of(changed(values))


@pytest.mark.parametrize(
    "sweep",
    [
        {"weights": MX, "precision": {}},
        {"weights": MX, "precision": {"method": ["uniform", "dmx"], "budget": [4.25, 5]}},
        {"weights": MX, "precision": {"method": ["kl", "random"]}, "seed": [0, 1]},
        {"weights": MX, "precision": {"objective": ["weights", "bytes"], "weighting": "layers"}},
        {"weights": MX, "precision": {"shared": False, "fused": [True, False]}},
        {"weights": MX, "precision": {"pins": [[], PINS]}},
        {"weights": MX, "precision": {"method": "manual", "budget": None, "pins": PINS}},
        {"weights": MX, "precision": {"probe": {"measure": ["loss", "proxy"], "windows": 2}}},
        {
            "weights": MX,
            "precision": {
                "method": "dmx",
                "training": {"steps": [10, 20], "rate": 2, "momentum": 0.9, "penalty": 0.5},
            },
        },
        {
            "weights": {"format": "mxfp4", "scale_rounding": ["floor", "midmax"]},
            "activations": {"format": "mxfp4"},
            "precision": {"formats": ["mxfp8_e4m3", "mxfp4"], "objective": "both"},
        },
        {
            "weights": {"format": "int4", "group": [None, 64]},
            "precision": {"formats": ["int4", "int8"], "method": ["kl", "uniform"]},
            "rounding": {"method": "gptq"},
        },
        [
            {
                "weights": {"format": "int3"},
                "scales": {"method": "mse"},
                "rounding": {"method": "gptq"},
            },
            {
                "weights": {"format": "int4"},
                "precision": {"formats": ["int4", "int8"]},
                "scales": {"method": "mse"},
                "rounding": {"method": "gptq"},
            },
        ],
        [
            {"weights": {"format": low}, "precision": {"formats": [low, high], "budget": 5}}
            for low, high in (("mxfp4", "mxfp6_e2m3"), ("int4", "int8"))
        ],
    ],
    ids=str,
)
def test_a_budget_goes_into_the_form_and_out_again_unchanged(sweep):
    recipes = expand(sweep)
    assert digests(recipes_of(axes_of(recipes))) == digests(recipes)


def test_weights_start_in_the_narrowest_format_whatever_the_other_runs_have():
    runs = recipes_of(
        changed({"weights.format": ("int4", "int8"), "precision.method": (None, "knapsack")})
    )
    assert [run.weights.format for run in runs if run.weights] == ["int4", "int8", "mxfp4"]
    assert [run.precision is not None for run in runs] == [False, False, True]


def test_a_method_is_multiplied_only_by_the_knobs_it_looks_at():
    runs = recipes_of(
        changed(
            {
                "precision.method": (None, "uniform", "knapsack", "dmx", "manual"),
                "precision.budget": (4.5, 5.0, 6.0),
                "precision.probe.measure": ("kl", "loss"),
                "precision.training.steps": (10, 20, 30),
                "precision.pins": (read_pins("down_proj=mxfp4"),),
            }
        )
    )
    counts = {
        method: sum(bool(run.precision) and run.precision.method == method for run in runs)
        for method in ("uniform", "knapsack", "dmx", "manual")
    }
    assert counts == {"uniform": 3, "knapsack": 3 * 2, "dmx": 3 * 3, "manual": 1}
    assert len(runs) == 1 + sum(counts.values())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"precision.budget": (3.5,)}, "3.5 bits lies outside 4 to 8"),
        ({"precision.budget": ()}, r"precision\.budget: nothing is chosen"),
        ({"precision.formats": ()}, r"precision\.formats: nothing is chosen"),
        ({"precision.objective": ("both",)}, "counts activations"),
        ({"activations.format": ("int8_asym",)}, "cannot share the width"),
        ({"precision.pins": (read_pins("down_proj=int4"),)}, "not among the formats allowed"),
        ({"precision.method": ("dmx",), "precision.training.steps": (0,)}, "0 steps"),
        ({"precision.method": ("dmx",), "precision.formats": (("int4", "int8"),)}, "MX elements"),
        ({"calibration.text": (None,)}, "needs calibration text"),
    ],
    ids=str,
)
def test_a_budget_that_cannot_be_spent_is_refused_before_it_is_submitted(values, sentence):
    with pytest.raises(InvalidRecipe, match=sentence):
        recipes_of(changed({"precision.method": ("knapsack",), **values}))


def test_every_field_of_a_recipe_has_one_path():
    assert {"weights.format", "rotation", "precision.probe.windows", "seed"} <= set(paths())
    assert len(set(paths())) == len(paths())
    assert set(defaults()) == set(paths())


def test_the_default_axes_are_the_default_recipe():
    assert recipes_of(axes_of([Recipe()])) == [Recipe()]


def test_choices_come_from_the_types():
    assert choices("rounding.method") == ("rtn", "gptq", "gpfq", "qronos")
    assert choices("rotation.r1") == (False, True)
    assert choices("weights.group") == ()


def test_float_weights_have_nothing_to_scale_or_to_round():
    axes = changed({"weights.format": (None,), "rounding.method": ("gptq", "qronos")})
    assert recipes_of(axes) == [Recipe.from_dict({"weights": None})]
    assert not {"rounding.method", "scales.method", "rounding.damping"} & counting(axes)


def test_a_folder_and_a_hub_id_are_not_crossed():
    named = {
        "model.source": ("demo", "folder", "hub"),
        "model.name[folder]": ("/models/a",),
        "model.name[hub]": ("maker/b", "maker/c"),
    }
    models = [run.model for run in recipes_of(changed(named))]
    assert [(model.source, model.name) for model in models] == [
        ("demo", ""),
        ("folder", "/models/a"),
        ("hub", "maker/b"),
        ("hub", "maker/c"),
    ]


def test_scales_that_look_at_weights_alone_are_rounded_to_nearest_once():
    axes = changed(
        {
            "scales.method": ("piso",),
            "scales.objective": ("self", "identity"),
            "rounding.method": ("rtn",),
            "rounding.inputs": ("float", "quantized"),
        }
    )
    seen = [(run.scales.objective, run.rounding.inputs) for run in recipes_of(axes)]
    assert seen == [("self", "float"), ("self", "quantized"), ("identity", "float")]
