"""Output errors of all linears of the demo model: by scale, by rounding, and on another text.

**Scales and rounding** on float inputs X: ‖XWᵀ − XŴᵀ‖² / ‖XWᵀ‖². Under round-to-nearest PiSO's
scale is the one of least error that the format can store, so no layer may come out worse than with
scales from the largest magnitude (absmax) or of least weight error (MSE): `above absmax` and `above
mse` count the layers that do. `held out` is the same error of the same weights on a text that
nothing was fitted to.

Medians are over layers. Errors under quantized inputs: `benchmarks.corrections`.

Run: python -m benchmarks.layer_errors [--text lambada/calibration] [--held-out lambada/evaluation]
     [--windows 16] [--length 512] [--bits 4 3 2]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from torch import Tensor, nn

from benchmarks import _texts
from benchmarks._measure import save, table
from qcore.calibration.capture import capture
from qcore.formats.coding import dequantize
from qcore.formats.quantized import Scales
from qcore.machine.home import home
from qcore.models.families import Site, linear_module, sites
from qcore.models.loading import load, resolve
from qcore.pipeline.layers import quantize_together
from qcore.pipeline.methods import Moments
from qcore.recipe import ModelRef, Recipe
from qcore.recipe.formats import weight_format

SCALES = ("absmax", "mse", "piso")
ROUNDINGS = ("rtn", "gptq")
FloatMoments = dict[tuple[int, str], Tensor]
"""XᵀX / tokens of a site, by decoder block and name."""


def main() -> None:
    parser = _texts.parser_of(__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    given = parser.parse_args()
    network = load(resolve(ModelRef(), home()), home())
    model = network.model
    seen, other = (float_moments(model, tokens) for tokens in _texts.read(given, network.tokenizer))
    methods = [row for bits in given.bits for row in compare_methods(model, seen, other, bits)]
    print(table(methods))
    save("layer_errors", [{**_texts.asked(given), **row} for row in methods])


def float_moments(model: nn.Module, tokens: Tensor) -> FloatMoments:
    """XᵀX / tokens of every site."""
    return {
        (found.block, name): site.hessian
        for found in capture(model, tokens)
        for name, site in found.sites.items()
    }


def compare_methods(
    model: nn.Module, seen: FloatMoments, other: FloatMoments, bits: int
) -> list[dict[str, Any]]:
    """A row for each scale and rounding: errors on the text it was fitted to and on the other."""
    methods = [(scale, rounding) for rounding in ROUNDINGS for scale in SCALES]
    fitted: dict[tuple[str, str], list[float]] = {method: [] for method in methods}
    held: dict[tuple[str, str], list[float]] = {method: [] for method in methods}
    for site in sites(model):
        here, there = seen[site.block, site.name], other[site.block, site.name]
        known: dict[str, Scales | None] = {}
        for scale, rounding in methods:
            recipe = _recipe(bits, scales={"method": scale}, rounding={"method": rounding})
            made, known[scale] = rounded(model, site, recipe, Moments(here), known.get(scale))
            for w, v in made:
                fitted[scale, rounding].append(squared(v - w, here) / squared(w, here))
                held[scale, rounding].append(squared(v - w, there) / squared(w, there))
    return [
        {
            "weights": f"INT{bits}",
            "rounding": rounding,
            "scales": scale,
            "layers": len(errors),
            "median": median(errors),
            "largest": max(errors),
            "above absmax": _above(errors, fitted["absmax", rounding]),
            "above mse": _above(errors, fitted["mse", rounding]),
            "held out": median(held[scale, rounding]),
            "held out largest": max(held[scale, rounding]),
        }
        for (scale, rounding), errors in fitted.items()
    ]


def _recipe(bits: int, **parts: Any) -> Recipe:
    return Recipe.from_dict({"weights": {"format": f"int{bits}"}, **parts})


def rounded(
    model: nn.Module, site: Site, recipe: Recipe, moments: Moments | None, scales: Scales | None
) -> tuple[Iterator[tuple[Tensor, Tensor]], Scales | None]:
    """(W, Ŵ) of every linear of a site, as the pipeline would round it, and the scales used."""
    weights = [linear_module(model, linear).weight.data.float() for linear in site.linears]
    assert recipe.weights is not None
    fmt = weight_format(recipe, recipe.weights.format)
    layers, used = quantize_together(recipe, site.linears, weights, moments, fmt, scales)
    pairs = zip(weights, layers, strict=True)
    return ((weight, dequantize(quantized)) for weight, (quantized, _) in pairs), used


def squared(weight: Tensor, hessian: Tensor) -> float:
    """‖XWᵀ‖² per token: tr(W H Wᵀ), in double."""
    w = weight.double()
    return float(((w @ hessian.double()) * w).sum())


def _above(ours: Sequence[float], theirs: Sequence[float]) -> int:
    """Layers on which ours is strictly larger."""
    return sum(a > b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
