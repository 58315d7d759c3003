"""What the form makes of transforms, PiSO, error correction and interleaving."""

from __future__ import annotations

import dataclasses

import pytest

from pages._ui import palette
from pages._ui.form import transforms
from pages._ui.form.knobs import Knobs
from pages._ui.form.presets import PRESETS
from pages._ui.form.values import numbers_text, parse
from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe, titles
from qcore.recipe.sweep import expand


def digests(recipes):
    return {recipe.digest for recipe in recipes}


def changed(**values) -> Knobs:
    """The default form with some knobs turned."""
    return dataclasses.replace(Knobs.of([Recipe()]), **values)


def preset(name: str) -> list[Recipe]:
    return next(preset for preset in PRESETS if preset.name == name).recipes()


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
    assert digests(Knobs.of(recipes).recipes()) == digests(recipes)


def test_a_run_without_rotation_ignores_what_only_a_rotation_asks():
    runs = changed(
        rotations=("none", "rotated"),
        blocks=(16, 32),
        permutations=("none", "massdiff"),
        expansions=(0.0, 5.0),
    ).recipes()
    assert len(runs) == 1 + 2 * 2 * 2
    assert [run.rotation for run in runs].count(None) == 1


def test_data_free_rounding_is_asked_for_once_however_error_correction_is_swept():
    runs = changed(
        scales=("absmax", "piso"),
        refines=(False, True),
        roundings=("rtn", "gptq"),
        interleavings=("layer", "decoupled"),
        dampings=(None, 0.1),
    ).recipes()
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
        ({"roundings": ("gpfq",), "interleavings": ("group",)}, "no group-interleaved form"),
        ({"scales": ("piso",), "objectives": ("cross",)}, "inputs are float"),
        (
            {"rotations": ("rotated",), "r4s": (False,), "permutations": ("massdiff",)},
            "there is none",
        ),
        ({"rotations": ("rotated",), "r4s": (False,), "expansions": (5.0,)}, "there is none"),
        ({"rotations": ("rotated",), "r4s": (False,), "blocks": (16,)}, "there are none"),
        ({"rotations": ("rotated",), "expansions": (120.0,)}, "out of range"),
        (
            {"rotations": ("rotated",), "permutations": ("random",), "permuted_values": (True,)},
            "permuting values matters",
        ),
        ({"rotations": ("rotated",), "blocks": ()}, "blocks: nothing is chosen"),
        ({"storages": ()}, "storages: nothing is chosen"),
    ],
    ids=str,
)
def test_what_a_recipe_refuses_the_form_refuses_in_its_words(values, sentence):
    with pytest.raises(InvalidRecipe, match=sentence):
        changed(**values).recipes()


def test_the_block_sweep_crosses_seven_blocks_with_massdiff_under_one_capture():
    runs = preset("MixQuant block-size sweep")
    cells = {
        (run.rotation.block, run.permutation.method if run.permutation else "identity")
        for run in runs
        if run.rotation and run.rotation.r1 and run.rotation.r2 and run.rotation.r4
    }
    blocks = (16, 32, 64, 128, 256, 512, None)
    assert cells == {(block, method) for block in blocks for method in ("identity", "massdiff")}
    assert len(runs) == len(cells) == 14
    assert len({(run.calibration, run.rounding, run.scales, run.activations) for run in runs}) == 1


def test_the_expansion_sweep_has_five_sizes_at_one_site_and_at_two():
    runs = preset("Expansion sweep")
    cells = {
        (run.rotation.o_proj, run.expansion.percent if run.expansion else 0)
        for run in runs
        if run.rotation and run.rotation.block is None and run.rounding.method == "gptq"
    }
    assert cells == {(o_proj, p) for o_proj in (False, True) for p in (0, 2, 5, 10, 15)}
    assert len(runs) == 10


def test_the_piso_sweep_is_the_full_product():
    runs = preset("PiSO bit-width sweep")
    cells = {
        (run.weights.format, run.scales.method, run.rounding.method) for run in runs if run.weights
    }
    assert len(runs) == len(cells) == 3 * 3 * 3


@pytest.mark.parametrize(
    ("typed", "values", "again"),
    [
        ("", (None,), ""),
        ("own", (None,), ""),
        ("Own, 0.01", (None, 0.01), "own, 0.01"),
        ("0.01; 0.01, 1e-6", (0.01, 1e-6), "0.01, 1e-06"),
    ],
)
def test_an_empty_damping_is_the_methods_own(typed, values, again):
    assert parse("dampings", typed) == values
    assert numbers_text("dampings", values) == again


def test_a_large_seed_and_a_round_percentage_come_back_as_they_went():
    assert numbers_text("seeds", (4294967295,)) == "4294967295"
    assert numbers_text("expansions", (0.0, 2.5, 10.0)) == "0, 2.5, 10"


def test_the_form_tells_the_sizes_that_the_demo_model_would_get():
    told = transforms.demo_growth([10.0], r4s=[True], o_projs=[False], blocks=[0])
    # 768 more inputs of 576 outputs in 30 layers, over 134,515,008 parameters
    assert told == ["10 % asked: 9.87 % (down_proj 1536 → 2304)"]


def test_nothing_grows_where_nothing_is_rotated_at_run_time():
    assert transforms.demo_growth([5.0], r4s=[False], o_projs=[False], blocks=[0]) == []


def test_rotating_on_the_page_opens_its_knobs_and_multiplies_the_runs(bench):
    app = bench.open("new_run")
    assert "knob.blocks" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.rotations").set_value(["rotated"]).run()
    app.get_by_key("knob.blocks").set_value([32, 0]).run()
    app.get_by_key("knob.permutations").set_value(["none", "massdiff"]).run()
    app.get_by_key("knob.expansions").set_value("0, 10").run()
    assert app.metric[0].value == "8"
    assert any("9.87 % (down_proj 1536 → 2304)" in item.value for item in app.caption)
    app.get_by_key("submit").click().run()
    assert {
        (
            run.rotation.block,
            bool(run.permutation),
            run.expansion.percent if run.expansion else 0,
        )
        for run in bench.queue.submitted
    } == {(block, p, e) for block in (32, None) for p in (False, True) for e in (0, 10)}


def test_pisos_knobs_show_only_with_piso_and_start_at_the_recipes_defaults(bench):
    app = bench.open("new_run")
    assert "knob.objectives" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.scales").set_value(["piso"]).run()
    assert app.get_by_key("knob.objectives").value == ["self"]
    app.get_by_key("submit").click().run()
    assert bench.queue.submitted == [Recipe.from_dict({"scales": {"method": "piso"}})]


def test_a_refused_combination_on_the_page_says_why(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.scales").set_value(["piso"]).run()
    app.get_by_key("knob.objectives").set_value(["cross"]).run()
    assert app.get_by_key("submit").disabled
    assert "ross objective" in " ".join(item.value for item in app.error)


def test_every_rounding_method_has_a_name_and_a_colour_of_its_own():
    methods = [
        titles.method(Recipe.from_dict({"rounding": {"method": name}}))
        for name in ("rtn", "gptq", "gpfq", "qronos")
    ]
    assert methods == ["RTN", "GPTQ", "GPFQ", "Qronos"]
    assert palette.NEUTRAL not in map(palette.colour, methods)
    assert len(set(map(palette.colour, methods))) == 4
