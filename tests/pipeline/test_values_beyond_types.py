"""Values beyond their type end in a note or a sentence, never in a trace at the very end."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from qcore.errors import NumericalError
from qcore.models.families import Linear
from qcore.pipeline.layers import quantize_together
from qcore.recipe import Recipe
from qcore.report.report import Report
from tests.models.factories import SIZES, tiny_tokenizer
from tests.pipeline.factories import Workshop

BLOCK = "model.layers.1.mlp"
RTN = {"method": "rtn"}


@pytest.fixture(scope="module")
def giant(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network with activations of 10²¹ inside one block, and the outputs that it had."""
    folder = Path(shutil.copytree(checkpoint, tmp_path_factory.mktemp("giant") / "model"))
    tensors = load_file(folder / "model.safetensors")
    for name, factor in (("gate_proj", 1e10), ("up_proj", 1e11), ("down_proj", 1e-21)):
        tensors[f"{BLOCK}.{name}.weight"] *= factor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_activations_beyond_float32s_root_leave_a_report_with_a_note(
    shop: Workshop, giant: Path
) -> None:
    shop.model = giant
    wide = {"method": "absmax", "storage": "float32"}
    report = shop.run(shop.recipe(weights={"format": "int8"}, scales=wide, rounding=RTN))
    unknown = [row.name for row in report.layers if row.output_error is None]
    assert unknown == ["1.mlp.down_proj"]
    assert any("1.mlp.down_proj first: the second moments" in note for note in report.notes)
    assert all(row.beyond is None for row in report.layers)
    assert Report.from_json(report.to_json()) == report


def test_scales_beyond_float16_are_noted_with_the_type_that_holds_them(
    shop: Workshop, giant: Path
) -> None:
    shop.model = giant
    half = {"method": "absmax", "storage": "float16"}
    report = shop.run(shop.recipe(weights={"format": "int8"}, scales=half, rounding=RTN))
    notes = " ".join(report.notes)
    assert "96 scales too large for float16" in notes  # of gate and up
    assert "32 scales too small for float16" in notes  # of down
    assert 'storage "float32" holds them' in notes
    again = shop.run(shop.recipe(weights={"format": "int8"}, scales=half, rounding=RTN, seed=1))
    assert set(again.notes) == set(report.notes)  # from the cache, too


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose widths are all divisible by 32."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LlamaForCausalLM(LlamaConfig(**{**SIZES, "intermediate_size": 64}))
    folder = tmp_path_factory.mktemp("wide") / "model"
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dwarf(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with inputs of 10⁻³⁶ inside one block: float32 has them, E8M0 not their scale."""
    folder = Path(shutil.copytree(wide, tmp_path_factory.mktemp("dwarf") / "model"))
    tensors = load_file(folder / "model.safetensors")
    for name, factor in (("gate_proj", 1e-17), ("up_proj", 1e-18), ("down_proj", 1e35)):
        tensors[f"{BLOCK}.{name}.weight"] *= factor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("rotation", [None, {"r1": False, "r2": False, "block": 32}])
def test_exponents_of_inputs_beyond_e8m0_are_noted_and_kept(
    shop: Workshop, dwarf: Path, wide: Path, rotation: dict | None
) -> None:
    parts = {
        "weights": {"format": "int8"},
        "activations": {"format": "mxfp8_e5m2"},
        "scales": {"method": "absmax", "storage": "float32"},
        "rounding": RTN,
        **({"rotation": rotation} if rotation else {}),
    }
    shop.model = wide
    assert not any("E8M0" in note for note in shop.run(shop.recipe(**parts)).notes)
    shop.model = dwarf
    report = shop.run(shop.recipe(**parts))
    (note,) = (note for note in report.notes if "E8M0" in note)
    assert "of them before 1.mlp.down_proj" in note
    assert "and 1 inputs of layers" in note
    again = shop.run(shop.recipe(**parts, seed=1))
    assert note in again.notes  # from the cache, too


@pytest.mark.parametrize("method", ["gptq", "gpfq", "qronos"])
def test_a_method_that_needs_such_moments_is_refused_with_a_remedy_that_works(
    shop: Workshop, giant: Path, method: str
) -> None:
    shop.model = giant
    rounding = {"method": method, "inputs": "float" if method == "gptq" else "quantized"}
    wide = {"method": "absmax", "storage": "float32"}
    with pytest.raises(NumericalError, match="Hessian are NaN or infinite") as told:
        shop.run(shop.recipe(weights={"format": "int8"}, scales=wide, rounding=rounding))
    assert "rounding rtn and scales absmax or mse" in told.value.remedy
    shop.run(shop.recipe(weights={"format": "int8"}, scales=wide, rounding=RTN))


def test_sensitivities_are_measured_without_the_moments_that_overflow(
    shop: Workshop, giant: Path
) -> None:
    shop.model = giant
    precision = {"method": "knapsack", "budget": 5.0, "formats": ["int4", "int8"]}
    recipe = shop.recipe(
        weights={"format": "int4"},
        scales={"method": "absmax", "storage": "bfloat16"},
        rounding=RTN,
        precision=precision | {"probe": {"windows": 2, "length": 24}},
    )
    assert shop.run(recipe).precision is not None


def test_clipped_weights_are_counted_in_their_layers_row(shop: Workshop) -> None:
    report = shop.run(shop.recipe(weights={"format": "int3"}, scales={"method": "mse"}))
    counts = [row.clipped for row in report.layers]
    assert all(count is not None for count in counts)
    assert 0 < sum(count or 0 for count in counts) < sum(row.parameters for row in report.layers)


def test_a_report_that_json_cannot_hold_says_which_number(shop: Workshop) -> None:
    report = shop.run(shop.recipe())
    row = dataclasses.replace(report.layers[2], weight_error=float("nan"))
    broken = dataclasses.replace(report, layers=(*report.layers[:2], row))
    with pytest.raises(NumericalError, match=r"report\.layers\[2\]\.weight_error is not a finite"):
        broken.to_json()


def test_weights_that_overflow_when_they_are_rounded_are_refused_at_their_layer() -> None:
    weight = torch.ones(2, 32)
    weight[1, 5] = torch.finfo(torch.float32).max
    name = "0.self_attn.k_proj"
    linear = Linear(name, 0, "k_proj", "attention_input", f"model.layers.{name}")
    parts = {"scales": {"method": "absmax"}, "rounding": RTN, "calibration": None}
    raised = Recipe.from_dict({"weights": {"format": "mxfp4", "scale_rounding": "midmax"}, **parts})
    assert raised.weights is not None
    with pytest.raises(
        NumericalError, match=r"1 quantized weights of 0\.self_attn.* beyond"
    ) as told:
        quantize_together(raised, [linear], [weight], None, raised.weights.value)
    assert told.value.remedy == 'choose an INT format, or the scale rounding "floor"'
    for fmt in ({"format": "mxfp4"}, {"format": "int4"}):
        recipe = Recipe.from_dict({"weights": fmt, **parts})
        assert recipe.weights is not None
        held = recipe.weights.value.with_scale_type("float32")
        ((_, row),), _ = quantize_together(recipe, [linear], [weight], None, held)
        assert row.weight_error < 0.1  # in double: float32 cannot hold the squares
