"""Group-wise PiSO on the demo model: what knowing of the other groups costs, and what it gains.

Every linear of some decoder blocks is rounded to nearest in groups, with scales of least error by
`independent` and `sequential` groups, each as it is, after one pass of refinement, and when no
group improves any more; beside them absmax, least weight error, and the diagonal of H alone. All
see the float network's H. `error` is the median over layers of ‖XWᵀ − XŴᵀ‖² / ‖XWᵀ‖², `gain` what
is gone of absmax's mean error, `groups changed` the share of groups that refining moved, counted
again in every pass. Times are CPU-seconds on one thread, side by side in one process.

    python -m benchmarks.group_scales [--formats int3 int4] [--group 32] [--blocks 0 10 20 29]
        [--text lambada/calibration] [--windows 16] [--length 512]
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean, median

import torch
from torch import Tensor

from benchmarks._measure import save, table
from benchmarks.layer_errors import squared
from qcore.calibration.capture import capture
from qcore.calibration.text import windows
from qcore.formats.coding import dequantize
from qcore.formats.format import Format, named
from qcore.machine.home import home
from qcore.models.families import block_sites, blocks, linear_module
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef
from qcore.rounding.rtn import rtn
from qcore.scales.find import find_scales
from qcore.scales.piso import Grouping, fit

GROUPINGS: tuple[Grouping, ...] = ("independent", "sequential")


@dataclass
class Tally:
    """One method over all layers so far."""

    errors: list[float] = field(default_factory=list)
    seconds: float = 0.0
    changed: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", nargs="+", default=["int3", "int4"])
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--blocks", type=int, nargs="+", default=[0, 10, 20, 29])
    parser.add_argument("--text", default="lambada/calibration", help="calibration text, or file:…")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load(resolve(ModelRef(), home()), home())
    tokens = windows(network.tokenizer, given.text, given.windows, given.length)
    skip = set(range(len(blocks(network.model)))) - set(given.blocks)
    layers = [
        (linear_module(network.model, linear).weight.data.float(), found.sites[site.name].hessian)
        for found in capture(network.model, tokens, skip=skip)
        for site in block_sites(network.model, found.block)
        for linear in site.linears
    ]
    rows = []
    for name in given.formats:
        fmt = named(name).with_group(given.group)
        tallies: defaultdict[str, Tally] = defaultdict(Tally)
        for weight, hessian in layers:
            for method, error, seconds, changed in outcomes(weight, hessian, fmt):
                tallies[method].errors.append(error)
                tallies[method].seconds += seconds
                tallies[method].changed.append(changed)
        base = fmean(tallies["absmax"].errors)
        for method, tally in tallies.items():
            rows.append(
                {
                    "weights": f"{name} g{given.group}",
                    "scales": method,
                    "layers": len(tally.errors),
                    "error": median(tally.errors),
                    "gain": 1 - fmean(tally.errors) / base,
                    "CPU s": tally.seconds,
                    "groups changed": fmean(tally.changed),
                }
            )
    print(table(rows))
    save("group_scales", rows)


def outcomes(
    weight: Tensor, hessian: Tensor, fmt: Format
) -> Iterator[tuple[str, float, float, float]]:
    """Method, error, CPU-seconds and share of groups changed, for every way to find scales."""
    energy, groups = squared(weight, hessian), len(weight) * fmt.groups(weight.shape[1])
    for method in ("absmax", "mse", "diagonal"):
        began = time.process_time()
        if method == "diagonal":
            scales = fit(weight, fmt, hessian, objective="diagonal").scales
        else:
            scales = find_scales(method, weight, fmt)
        seconds = time.process_time() - began
        left = weight - dequantize(rtn(weight, scales, fmt))
        yield method, squared(left, hessian) / energy, seconds, 1.0
    for grouping in GROUPINGS:
        passes = fit(weight, fmt, hessian, objective="self", grouping=grouping, refine=True).passes
        seconds = 0.0
        for number, one in enumerate(passes):
            seconds += one.seconds
            label = grouping if number == 0 else f"{grouping}, refined once"
            if number < 2:
                yield label, 1 + one.error / energy, seconds, one.changed / groups
        moved = sum(one.changed for one in passes[1:]) / groups
        yield f"{grouping}, refined to the end", 1 + passes[-1].error / energy, seconds, moved


if __name__ == "__main__":
    main()
