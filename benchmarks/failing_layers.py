"""Which layers fail when scales of least weight error (MSE) make a good median and a bad network.

Every linear of the demo model is rounded to nearest with absmax and with MSE scales. A layer
*fails* where MSE's output error is over ten times the median of all. Its input is described by the
share of the energy E‖x‖² that the largest channel carries, beside the median share over all inputs.
Then the text is scored three times: absmax everywhere, MSE everywhere, and MSE with absmax in the
layers that fail. How far that goes from MSE to absmax, in nats per token, is what they are to blame
for.

Run: python -m benchmarks.failing_layers [--text lambada/calibration] [--scored lambada/evaluation]
     [--windows 16] [--length 512] [--bits 3]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

from torch import Tensor

from benchmarks._measure import save, table
from benchmarks.layer_errors import float_moments, rounded, squared
from qcore.calibration.text import windows
from qcore.evaluation.perplexity import score_window
from qcore.machine.home import home
from qcore.models.families import Linear, sites
from qcore.models.loading import load, resolve
from qcore.models.surgery import changed
from qcore.recipe import ModelRef, Recipe

FAILS = 10
SCORED = 8
METHODS = ("absmax", "mse")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="lambada/calibration", help="calibration text, or file:…")
    parser.add_argument("--scored", default="lambada/evaluation", help="another text, or file:…")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--bits", type=int, default=3)
    given = parser.parse_args()
    network = load(resolve(ModelRef(), home()), home())
    model = network.model
    tokens = windows(network.tokenizer, given.text, given.windows, given.length)
    scored = windows(network.tokenizer, given.scored, SCORED, given.length)
    errors: dict[str, dict[Linear, float]] = {method: {} for method in METHODS}
    weights: dict[str, dict[Linear, Tensor]] = {method: {} for method in METHODS}
    shares: dict[Linear, float] = {}
    moments = float_moments(model, tokens)
    for site in sites(model):
        hessian = moments[site.block, site.name]
        energy = hessian.diagonal().double()
        shares |= dict.fromkeys(site.linears, float(energy.max() / energy.sum()))
        for method in METHODS:
            recipe = Recipe.from_dict(
                {"weights": {"format": f"int{given.bits}"}, "scales": {"method": method}}
            )
            pairs, _ = rounded(model, site, recipe, None, None)
            for linear, (w, v) in zip(site.linears, pairs, strict=True):
                errors[method][linear] = squared(v - w, hessian) / squared(w, hessian)
                weights[method][linear] = v
    limit = FAILS * median(errors["mse"].values())
    failing = [linear for linear, error in errors["mse"].items() if error > limit]
    layers = [
        {
            "layer": linear.name,
            "absmax": errors["absmax"][linear],
            "mse": errors["mse"][linear],
            "largest channel's share": shares[linear],
            "median share": median(shares.values()),
        }
        for linear in failing
    ]
    mixed = weights["mse"] | {linear: weights["absmax"][linear] for linear in failing}
    losses = {name: loss(model, weights[name], scored) for name in METHODS}
    losses["mse, absmax where it fails"] = loss(model, mixed, scored)
    gap = losses["mse"] - losses["absmax"]
    runs = [
        {"scales": name, "nats per token": value, "of the way": (losses["mse"] - value) / gap}
        for name, value in losses.items()
    ]
    print(table(layers), table(runs), sep="\n\n")
    save("failing_layers", [{"bits": given.bits, **row} for row in (*layers, *runs)])


def loss(model: Any, weights: Mapping[Linear, Tensor], text: Tensor) -> float:
    """Mean nats per token with these weights in place."""
    with changed(model, weights):
        return fmean(score_window(model, window, None).loss for window in text)


if __name__ == "__main__":
    main()
