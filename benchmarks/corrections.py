"""Qronos against GPTQ where it counts: layer errors under quantized inputs, and on another text.

What a layer should do in a network whose earlier layers are rounded is keep ‖XWᵀ − X̃Ŵᵀ‖² / ‖XWᵀ‖²
small: float outputs against those that the rounded weights make of the inputs X̃ that really arrive.
The text goes through the network that Qronos has rounded so far. At every site both methods round
the same weights, at the same scales, on the same X̃ᵀX̃; Qronos also sees X̃ᵀX. Both errors follow from
the moments, for one channel w → v:

    ‖Xw − X̃v‖² = wᵀ(XᵀX)w − 2 vᵀ(X̃ᵀX)w + vᵀ(X̃ᵀX̃)v

Then a text that nothing was fitted to goes through the same rounded network, and the same weights
are measured on it (`held out`). Medians are over layers.

    python -m benchmarks.corrections [--text lambada/calibration] [--held-out lambada/evaluation]
        [--windows 16] [--length 512] [--bits 4] [--scales absmax] [--damping 1e-6 1e-3]
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from torch import Tensor, nn

from benchmarks import _texts
from benchmarks._measure import save, table
from benchmarks.layer_errors import FloatMoments, float_moments, rounded, squared
from qcore.calibration.sequential import capture_sequential
from qcore.calibration.statistics import SiteStatistics
from qcore.machine.home import home
from qcore.models.families import Linear, Site
from qcore.models.loading import load, resolve
from qcore.models.surgery import Surgery
from qcore.numerics.moments import correlation
from qcore.pipeline.methods import Moments
from qcore.recipe import ModelRef, Recipe

METHODS = ("gptq", "qronos")
Pairs = dict[Linear, tuple[Tensor, Tensor]]
"""(W, Ŵ) by linear."""


def main() -> None:
    parser = _texts.parser_of(__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[4])
    parser.add_argument(
        "--scales", nargs="+", default=["absmax"], choices=["absmax", "mse", "piso"]
    )
    parser.add_argument("--damping", type=float, nargs="+", default=[1e-6, 1e-3], help="of Qronos")
    given = parser.parse_args()
    network = load(resolve(ModelRef(), home()), home())
    model = network.model
    tokens, others = _texts.read(given, network.tokenizer)
    here, there = float_moments(model, tokens), float_moments(model, others)
    asked = _texts.asked(given)
    rows: list[dict[str, Any]] = []
    for bits in given.bits:
        for scales in given.scales:
            for damping in given.damping:
                recipes = {method: recipe_of(bits, scales, method, damping) for method in METHODS}
                fitted, made = fit(model, tokens, here, recipes)
                held = measure(model, others, there, made)
                what = {"weights": f"INT{bits}", "scales": scales, "damping": damping}
                rows.append({**asked, **what, **summary(fitted), **summary(held, "held out ")})
                print(table(rows[-1:]), flush=True)
                save("corrections", rows)


def fit(
    model: nn.Module, tokens: Tensor, plain: FloatMoments, recipes: dict[str, Recipe]
) -> tuple[dict[str, list[float]], dict[str, Pairs]]:
    """Errors of both methods on the text they are fitted to, and the weights they make."""
    made: dict[str, Pairs] = {method: {} for method in recipes}
    errors: dict[str, list[float]] = {method: [] for method in recipes}

    def on_site(site: Site, seen: SiteStatistics) -> None:
        known = None
        for method, recipe in recipes.items():
            pairs, known = rounded(model, site, recipe, Moments(seen.hessian, seen.cross), known)
            made[method] |= dict(zip(site.linears, pairs, strict=True))
            errors[method] += _errors(site, made[method], plain, seen)

    _through_qronos(model, tokens, made, on_site)
    return errors, made


def measure(
    model: nn.Module, tokens: Tensor, plain: FloatMoments, made: dict[str, Pairs]
) -> dict[str, list[float]]:
    """Errors of finished weights on another text, in the network that Qronos made."""
    errors: dict[str, list[float]] = {method: [] for method in made}

    def on_site(site: Site, seen: SiteStatistics) -> None:
        for method, pairs in made.items():
            errors[method] += _errors(site, pairs, plain, seen)

    _through_qronos(model, tokens, made, on_site)
    return errors


def summary(errors: dict[str, list[float]], of: str = "") -> dict[str, Any]:
    """Medians, and on how many layers Qronos is no worse."""
    pairs = list(zip(errors["qronos"], errors["gptq"], strict=True))
    return {
        f"{of}gptq": median(errors["gptq"]),
        f"{of}qronos": median(errors["qronos"]),
        f"{of}median ratio": median(q / g for q, g in pairs),
        f"{of}qronos at most gptq": sum(q <= g for q, g in pairs) / len(pairs),
    }


def _through_qronos(
    model: nn.Module,
    tokens: Tensor,
    made: dict[str, Pairs],
    on_site: Callable[[Site, SiteStatistics], None],
) -> None:
    surgery = Surgery(model)

    def then_round(site: Site, seen: SiteStatistics) -> None:
        on_site(site, seen)
        for linear in site.linears:
            surgery.replace_weight(linear, made["qronos"][linear][1])

    try:
        capture_sequential(model, tokens, then_round, float_stream=True)
    finally:
        surgery.restore()


def _errors(site: Site, pairs: Pairs, plain: FloatMoments, seen: SiteStatistics) -> list[float]:
    assert seen.cross is not None
    moments = plain[site.block, site.name]
    return [
        against_float(*pairs[linear], moments, seen.cross, seen.hessian) for linear in site.linears
    ]


def against_float(w: Tensor, v: Tensor, plain: Tensor, cross: Tensor, hessian: Tensor) -> float:
    """‖XWᵀ − X̃Vᵀ‖² / ‖XWᵀ‖²."""
    energy = squared(w, plain)
    shared = float((correlation(w.double(), cross.double()) * v.double()).sum())
    return (energy - 2 * shared + squared(v, hessian)) / energy


def recipe_of(bits: int, scales: str, method: str, damping: float) -> Recipe:
    """One side of the comparison; the damping is Qronos's alone."""
    rounding: dict[str, Any] = {"method": method, "inputs": "quantized"}
    if method == "qronos":
        rounding["damping"] = damping
    weights = {"format": f"int{bits}"}
    return Recipe.from_dict(
        {"weights": weights, "scales": {"method": scales}, "rounding": rounding}
    )


if __name__ == "__main__":
    main()
