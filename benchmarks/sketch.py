"""C7: the outlier sketch costs at most 2 % of calibration, and its memory knows no token count.

Calibration is `capture` of the demo model; the sketch's share is that of `add_moments` on the
very tensors of one block. `torch.quantile` on the same tensors is shown beside it.
Run: python -m benchmarks.sketch [--windows 4] [--length 512]
"""

import argparse

import numpy as np
import torch

from benchmarks._measure import interleave, save, table
from qcore.calibration.capture import capture
from qcore.calibration.sketch import ChannelMoments, add_moments, add_moments_reference, quantile
from qcore.calibration.text import windows
from qcore.calibration.walk import Stream
from qcore.machine.home import home
from qcore.models.families import block_sites, linear_module
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef

GOAL = 0.02
BLOCK = 15
SHARES = (0.5, 0.99, 0.9999)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    # Threads that wait for one another burn CPU time on a busy machine; one thread does not.
    torch.set_num_threads(1)
    network = load(resolve(ModelRef(), home()), home())
    model = network.model
    text = windows(network.tokenizer, "lambada/calibration", given.windows, given.length)
    inputs = _inputs(model, text)
    elements = sum(x.numel() for x in inputs)

    def sketch(add):
        def run():
            for x in inputs:
                add(ChannelMoments.empty(x.shape[1]), x)

        return run

    def exact():
        for x in inputs:
            np.quantile(x.abs().numpy(), SHARES)

    def calibration():
        for _ in capture(model, text):
            pass

    seconds = interleave(
        {
            "sketch, compiled": sketch(add_moments),
            "sketch, torch": sketch(add_moments_reference),
            "exact quantiles": exact,
            "whole calibration": calibration,
        },
        repeats=given.repeats,
    )
    blocks = model.config.num_hidden_layers
    calibrated = seconds.pop("whole calibration")
    rows = [
        {
            "what": name,
            "ns_per_element": value / elements * 1e9,
            "share_of_calibration": value * blocks / calibrated,
            "goal": GOAL if "compiled" in name else None,
            "worst_quantile_error": _worst_error(inputs) if "compiled" in name else None,
        }
        for name, value in seconds.items()
    ]
    print(table(rows))
    save("sketch", rows)


@torch.no_grad()
def _inputs(model, text) -> list[torch.Tensor]:
    """The four sites' inputs of one block."""
    stream = Stream(model, text)
    for block in range(BLOCK):
        for _ in stream.advance(block):
            pass
    readers = [linear_module(model, site.linears[0]) for site in block_sites(model, BLOCK)]
    return [torch.cat(list(stream.inputs(BLOCK, reader))) for reader in readers]


def _worst_error(inputs: list[torch.Tensor]) -> float:
    worst = 0.0
    for x in inputs:
        moments = ChannelMoments.empty(x.shape[1])
        add_moments(moments, x)
        for share in SHARES:
            exact = float(np.quantile(x.abs().numpy(), share, method="inverted_cdf"))
            worst = max(worst, abs(quantile(moments.histogram, share) / exact - 1))
    return worst


if __name__ == "__main__":
    main()
