"""C5: capturing every Hessian and sketch costs at most 2.1 plain forwards of the same text.

The plain forward is `model(...)` on the same windows, head included, in the same steps.
Run: python -m benchmarks.capture [--windows 4] [--length 512] [--dtype float32]
"""

import argparse

import torch

from benchmarks._measure import interleave, save, table
from qcore.calibration.capture import capture
from qcore.calibration.sequential import capture_sequential
from qcore.calibration.text import windows
from qcore.calibration.walk import TOKENS_AT_ONCE
from qcore.machine.home import home
from qcore.models.loading import load, resolve
from qcore.recipe import ModelRef

GOAL = 2.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    # Threads that wait for one another burn CPU time on a busy machine; one thread does not.
    torch.set_num_threads(1)
    network = load(resolve(ModelRef(), home()), home(), dtype=given.dtype)
    model = network.model
    text = windows(network.tokenizer, "lambada/calibration", given.windows, given.length)
    step = max(1, TOKENS_AT_ONCE // given.length)

    @torch.no_grad()
    def plain():
        for part in text.split(step):
            model(part, use_cache=False)

    def captured():
        for _ in capture(model, text):
            pass

    def sequential():
        capture_sequential(model, text, lambda site, statistics: None)

    seconds = interleave(
        {"plain forward": plain, "capture": captured, "sequential capture": sequential},
        repeats=given.repeats,
    )
    rows = [
        {
            "what": name,
            "dtype": given.dtype,
            "tokens": text.numel(),
            "cpu_seconds": value,
            "over_plain": value / seconds["plain forward"],
            "goal": GOAL if name == "capture" else None,
        }
        for name, value in seconds.items()
    ]
    print(table(rows))
    save("capture" if given.dtype == "float32" else f"capture_{given.dtype}", rows)


if __name__ == "__main__":
    main()
