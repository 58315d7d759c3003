"""What the form makes of transforms, PiSO, error correction and interleaving."""

from __future__ import annotations

import pytest

from pages._ui import palette
from pages._ui.form import notes
from pages._ui.form.controls import CONTROLS
from pages._ui.form.presets import PRESETS
from pages._ui.form.values import parse, shown
from qcore.recipe import Recipe, titles
from qcore.recipe.axes import defaults


def preset(name: str) -> list[Recipe]:
    return next(preset for preset in PRESETS if preset.name == name).recipes()


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
    damping = CONTROLS["rounding.damping"]
    assert parse(damping, typed) == values
    assert shown(damping, values) == again


def test_a_large_seed_and_a_round_percentage_come_back_as_they_went():
    assert shown(CONTROLS["seed"], (4294967295,)) == "4294967295"
    assert shown(CONTROLS["expansion.percent"], (None, 2.5, 10.0)) == "0, 2.5, 10"


def test_the_form_tells_the_sizes_that_the_demo_model_would_get():
    told = notes.demo_growth([10.0], r4s=[True], o_projs=[False], blocks=[None])
    # 768 more inputs of 576 outputs in 30 layers, over 134,515,008 parameters
    assert told == ["10 % asked: 9.87 % (down_proj 1536 → 2304)"]


def test_nothing_grows_where_nothing_is_rotated_at_run_time():
    assert notes.demo_growth([5.0], r4s=[False], o_projs=[False], blocks=[None]) == []


def test_rotating_on_the_page_opens_its_knobs_and_multiplies_the_runs(bench):
    app = bench.open("new_run")
    assert "knob.rotation.block" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.rotation").set_value([True]).run()
    app.get_by_key("knob.rotation.block").set_value(["+", 32, None]).run()
    app.get_by_key("knob.permutation.method").set_value(["+", None, "massdiff"]).run()
    app.get_by_key("knob.expansion.percent").set_value("0, 10").run()
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
    app.get_by_key("knob.scales.method").set_value(["mse"]).run()
    assert "knob.scales.objective" not in [item.key for item in app.get("button_group")]
    app.get_by_key("knob.scales.method").set_value(["piso"]).run()
    assert app.get_by_key("knob.scales.objective").value == [defaults()["scales.objective"]]
    app.get_by_key("submit").click().run()
    assert [run.scales.method for run in bench.queue.submitted] == ["piso"]
    assert bench.queue.submitted[0].scales == Recipe().scales


def test_a_refused_combination_on_the_page_says_why(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.scales.method").set_value(["piso"]).run()
    app.get_by_key("knob.scales.objective").set_value(["cross"]).run()
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
