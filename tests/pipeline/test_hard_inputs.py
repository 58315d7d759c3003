"""Weights, moments and texts at the edge: a finite answer or a sentence, through the whole run."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from qcore.errors import InvalidRecipe, NotPositiveDefinite, NumericalError, UnsupportedModel
from qcore.report.report import Report
from tests.pipeline.factories import Workshop, numbers, stages

METHODS = ("rtn", "gptq", "gpfq", "qronos")
ZERO, EQUAL = 3, 5
LAYER = "1.mlp.up_proj"


@pytest.fixture(scope="module")
def odd_checkpoint(checkpoint: Path, tmp_path_factory) -> Path:
    """The tiny network with a channel of zeros and one of equal weights in a layer."""
    folder = Path(shutil.copytree(checkpoint, tmp_path_factory.mktemp("odd") / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors[f"model.layers.{LAYER}.weight"][ZERO] = 0.0
    tensors[f"model.layers.{LAYER}.weight"][EQUAL] = 0.02
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def finite(report: Report) -> bool:
    """Whether all that a run found out is a number."""
    errors = [error for row in report.layers for error in (row.weight_error, row.output_error)]
    known = [error for error in errors if error is not None]
    return all(map(math.isfinite, [*known, *(metric.value for metric in report.metrics)]))


def recipe_of(shop: Workshop, method: str, scales: str, **parts):
    inputs = "quantized" if method in ("gpfq", "qronos") else "float"
    return shop.recipe(
        weights={"format": "int3"},
        scales={"method": scales},
        rounding={"method": method, "inputs": inputs},
        **parts,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scales", ["absmax", "mse", "piso"])
def test_channels_of_zeros_and_of_equal_weights_stay_what_they_are(
    shop: Workshop, odd_checkpoint: Path, method: str, scales: str
) -> None:
    shop.model = odd_checkpoint
    recipe = recipe_of(shop, method, scales)
    report = shop.run(recipe)
    assert finite(report)
    kept = shop.cache.artifact(shop.keys(recipe).block("quantize", 1))
    assert kept is not None
    codes, scale = (kept.tensors[f"{LAYER}.{name}"] for name in ("codes", "scale"))
    values = codes.float() * scale
    assert bool((values[ZERO] == 0).all())
    if method == "rtn" and scales != "absmax":  # /8 cannot reach a positive maximum
        assert torch.allclose(values[EQUAL], torch.tensor(0.02), rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scales", ["mse", "piso"])
def test_the_shortest_calibration_text_is_enough_to_finish(
    shop: Workshop, method: str, scales: str
) -> None:
    """Two tokens, the fewest that a window has: H has rank two at most everywhere."""
    text = {"text": f"file:{shop.text}", "windows": 1, "length": 2}
    assert finite(shop.run(recipe_of(shop, method, scales, calibration=text)))


def test_one_calibration_token_is_refused(shop: Workshop) -> None:
    text = {"text": f"file:{shop.text}", "windows": 1, "length": 1}
    with pytest.raises(InvalidRecipe, match="window length 1 is out of range"):
        shop.recipe(calibration=text)


def spoil(shop: Workshop, recipe, change) -> None:
    """Capture, then keep another H of one site in its place, as a wrong capture would have."""
    shop.run(shop.recipe())
    key = shop.keys(recipe).block("capture", 1)
    kept = shop.cache.artifact(key)
    assert kept is not None
    tensors = {name: tensor.clone() for name, tensor in kept.tensors.items()}
    name = next(name for name in tensors if name.endswith("hessian") and "mlp_hidden" in name)
    tensors[name] = change(tensors[name])
    shop.array(key).unlink()
    shop.cache.put_artifact(key, tensors, kept.metadata)


def _indefinite(hessian: torch.Tensor) -> torch.Tensor:
    changed = hessian.clone()
    changed[0, 0] = -10 * float(hessian.diagonal().sum())
    return changed


def _nan(hessian: torch.Tensor) -> torch.Tensor:
    changed = hessian.clone()
    changed[2, 3] = changed[3, 2] = float("nan")
    return changed


@pytest.mark.parametrize(("method", "scales"), [("rtn", "piso"), ("gptq", "mse")])
@pytest.mark.parametrize(
    ("change", "error"), [(_indefinite, NotPositiveDefinite), (_nan, NumericalError)]
)
def test_moments_that_are_none_end_the_run_in_a_sentence_and_leave_the_network(
    shop: Workshop, method: str, scales: str, change, error
) -> None:
    recipe = recipe_of(shop, method, scales)
    spoil(shop, recipe, change)
    with pytest.raises(error) as told:
        shop.run(recipe)
    assert told.value.remedy
    fresh = shop.recipe(weights={"format": "int8"})
    assert finite(shop.run(fresh))


def test_a_transform_that_a_network_cannot_take_is_refused_and_leaves_it(shop: Workshop) -> None:
    plain = shop.run(shop.recipe())
    network = shop.session.network(shop.keys(shop.recipe()), lambda *_: None).model
    norm = network.model.norm
    network.model.norm = nn.LayerNorm(32)
    with pytest.raises(UnsupportedModel, match=r"LayerNorm .* which no rotation") as told:
        shop.run(shop.recipe(rotation={}))
    assert "r1 to false" in told.value.remedy
    network.model.norm = norm
    (shop.root / "reports" / f"{plain.id}.json").unlink()
    assert numbers(shop.run(shop.recipe())) == numbers(plain)


def test_a_sweep_over_blocks_and_permutations_captures_once(shop: Workshop) -> None:
    short = {"text": f"file:{shop.text}", "windows": 1, "length": 16, "divergence": False}
    reports = [
        shop.run(
            shop.recipe(rotation={"block": block}, permutation={"method": method}, evaluation=short)
        )
        for block in (2, 4, 8, 12, 16, 24, None)
        for method in ("identity", "massdiff")
    ]
    assert len({report.id for report in reports}) == 14
    counted = [stages(report) for report in reports]
    for stage in ("capture", "reference"):
        assert [seen[stage] for seen in counted] == [False] + [True] * 13
    # A full rotation mixes all channels whatever their order, so its two runs alone may agree.
    assert len({report.window_losses for report in reports}) >= 13
