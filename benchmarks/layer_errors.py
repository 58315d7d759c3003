"""Output errors of all linears of the demo model: which scale, and which error correction.

**Scales, round to nearest.** On float inputs X, PiSO's scale is the one with the least
‖XWᵀ − XŴᵀ‖² / ‖XWᵀ‖² that the format can store, so no layer may come out worse than with scales
from the largest magnitude (absmax) or of least weight error (MSE). `above` counts those that do.

**Error correction, Qronos against GPTQ.** What counts in a network whose earlier layers are rounded
is ‖XWᵀ − X̃Ŵᵀ‖² / ‖XWᵀ‖²: float outputs against those that the rounded weights make of the inputs X̃
that really arrive. The text goes through the network that Qronos has rounded so far, and at every
site both methods round the same weights, at the same scales, on the same X̃ᵀX̃, each with its own
damping; Qronos also sees X̃ᵀX. Both errors follow from the moments, for one channel w → v:

    ‖Xw − X̃v‖² = wᵀ(XᵀX)w − 2 vᵀ(X̃ᵀX)w + vᵀ(X̃ᵀX̃)v

Medians are over layers. Everything is measured on the calibration text itself, as the methods see
it; how it carries over to another text is what perplexity is for.

Run: python -m benchmarks.layer_errors [--text lambada/calibration] [--windows 16] [--length 512]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from torch import Tensor, nn

from benchmarks._measure import save, table
from qcore.calibration.capture import capture, capture_sequential
from qcore.calibration.statistics import SiteStatistics
from qcore.calibration.text import windows
from qcore.formats.coding import dequantize
from qcore.home import home
from qcore.models.families import Site, linear_module, sites
from qcore.models.loading import load, resolve
from qcore.models.surgery import Surgery
from qcore.moments import correlation
from qcore.pipeline.layers import quantize_together
from qcore.pipeline.solve import Moments
from qcore.recipe import ModelRef, Recipe

SCALES = ("absmax", "mse", "piso")
FLOAT_MOMENTS = dict[tuple[int, str], Tensor]
"""XᵀX / tokens of a site, by decoder block and name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="lambada/calibration", help="calibration text, or file:…")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    given = parser.parse_args()
    network = load(resolve(ModelRef(), home()), home())
    model = network.model
    tokens = windows(network.tokenizer, given.text, given.windows, given.length)
    moments = {
        (found.block, name): site.hessian
        for found in capture(model, tokens)
        for name, site in found.sites.items()
    }
    scales = [compare_scales(model, moments, bits) for bits in given.bits]
    print(table(scales), end="\n\n")
    corrections = [compare_corrections(model, tokens, moments, bits) for bits in given.bits]
    print(table(corrections))
    text = {"text": given.text, "windows": given.windows, "length": given.length}
    save("layer_errors", [{**text, **row} for row in (*scales, *corrections)])


def compare_scales(model: nn.Module, moments: FLOAT_MOMENTS, bits: int) -> dict[str, Any]:
    """Medians of the errors under round-to-nearest, and how often PiSO is above another scale."""
    errors: dict[str, list[float]] = {method: [] for method in SCALES}
    for site in sites(model):
        hessian = moments[site.block, site.name]
        for method in SCALES:
            recipe = _recipe(bits, scales={"method": method})
            for weight, rounded in _rounded(model, site, recipe, Moments(hessian)):
                error = _squared(rounded - weight, hessian) / _squared(weight, hessian)
                errors[method].append(error)
    return {
        "weights": f"INT{bits}",
        "layers": len(errors["piso"]),
        **{method: median(errors[method]) for method in SCALES},
        "piso above absmax": _above(errors["piso"], errors["absmax"]),
        "piso above mse": _above(errors["piso"], errors["mse"]),
        "mse above absmax": _above(errors["mse"], errors["absmax"]),
    }


def compare_corrections(
    model: nn.Module, tokens: Tensor, moments: FLOAT_MOMENTS, bits: int
) -> dict[str, Any]:
    """Medians of the errors of GPTQ and Qronos on inputs that Qronos's own rounding made."""
    errors: dict[str, list[float]] = {"gptq": [], "qronos": []}
    surgery = Surgery(model)

    def on_site(site: Site, seen: SiteStatistics) -> None:
        assert seen.cross is not None
        plain = moments[site.block, site.name]
        for method, found in errors.items():
            recipe = _recipe(bits, rounding={"method": method, "inputs": "quantized"})
            made = list(_rounded(model, site, recipe, Moments(seen.hessian, seen.cross)))
            found += [_against_float(w, v, plain, seen.cross, seen.hessian) for w, v in made]
        for linear, (_, rounded) in zip(site.linears, made, strict=True):
            surgery.replace_weight(linear, rounded)

    try:
        capture_sequential(model, tokens, on_site, float_stream=True)
    finally:
        surgery.restore()
    not_above = len(errors["gptq"]) - _above(errors["qronos"], errors["gptq"])
    ratios = [q / g for q, g in zip(errors["qronos"], errors["gptq"], strict=True)]
    return {
        "weights": f"INT{bits}",
        "layers": len(ratios),
        "gptq": median(errors["gptq"]),
        "qronos": median(errors["qronos"]),
        "median ratio": median(ratios),
        "largest ratio": max(ratios),
        "qronos at most gptq": not_above / len(ratios),
    }


def _recipe(bits: int, **parts: Any) -> Recipe:
    return Recipe.from_dict({"weights": {"format": f"int{bits}"}, **parts})


def _rounded(
    model: nn.Module, site: Site, recipe: Recipe, moments: Moments
) -> Iterator[tuple[Tensor, Tensor]]:
    """(W, Ŵ) of every linear of a site, as the pipeline would round it."""
    weights = [linear_module(model, linear).weight.data.float() for linear in site.linears]
    layers, _ = quantize_together(recipe, site.linears, weights, moments)
    for weight, (quantized, _) in zip(weights, layers, strict=True):
        yield weight, dequantize(quantized)


def _squared(weight: Tensor, hessian: Tensor) -> float:
    """‖XWᵀ‖² per token: tr(W H Wᵀ), in double."""
    w = weight.double()
    return float(((w @ hessian.double()) * w).sum())


def _against_float(w: Tensor, v: Tensor, plain: Tensor, cross: Tensor, hessian: Tensor) -> float:
    """‖XWᵀ − X̃Vᵀ‖² / ‖XWᵀ‖²."""
    energy = _squared(w, plain)
    shared = float((correlation(w.double(), cross.double()) * v.double()).sum())
    return (energy - 2 * shared + _squared(v, hessian)) / energy


def _above(ours: Sequence[float], theirs: Sequence[float]) -> int:
    """Layers on which ours is strictly larger."""
    return sum(a > b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
