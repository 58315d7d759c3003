"""Sensitivities of a block's linears in every format, against one whole forward for each of them.

The whole forward is `model(...)` with one weight replaced, and the divergence of its logits, all at
once, from kept float log-probabilities. The first, middle and last block stand for all: the cost
falls linearly with the block.
Run: python -m benchmarks.sensitivity [--windows 1] [--length 256]
"""

import argparse

import torch

from benchmarks._measure import interleave, save, table
from qcore.calibration.text import windows
from qcore.distributions import token_divergence
from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import named
from qcore.home import home
from qcore.models.families import blocks, linear_module, linears
from qcore.models.loading import load, resolve
from qcore.models.surgery import changed
from qcore.precision.sensitivity import measure
from qcore.recipe import ModelRef
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax

FORMATS = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    # Threads that wait for one another burn CPU time on a busy machine; one thread does not.
    torch.set_num_threads(1)
    network = load(resolve(ModelRef(), home()), home(), dtype="float32")
    model = network.model
    text = windows(network.tokenizer, "lambada/calibration", given.windows, given.length)
    count = len(blocks(model))
    picked = (0, count // 2, count - 1)
    layers = [linear for linear in linears(model) if linear.block in picked]
    kept = {}
    for linear in layers:
        value = linear_module(model, linear).weight.data
        for name in FORMATS:
            fmt = named(name)
            kept[linear, name] = dequantize(rtn(value, absmax(value, fmt), fmt))

    def inputs(name):
        return lambda x: fake_quantize(x, named(name))

    with torch.no_grad():
        plain = model(text, use_cache=False).logits[:, :-1].log_softmax(-1)

    @torch.no_grad()
    def whole():
        linear, name = layers[0], FORMATS[0]
        module = linear_module(model, linear)
        handle = module.register_forward_pre_hook(lambda _, args: inputs(name)(args[0]))
        with changed(model, {linear: kept[linear, name]}):
            other = model(text, use_cache=False).logits[:, :-1].log_softmax(-1)
        handle.remove()
        return token_divergence(plain, other).mean()

    def block(index):
        def run():
            others = set(range(count)) - {index}
            for _ in measure(
                model,
                text,
                FORMATS,
                weight=lambda linear, name: kept[linear, name],
                inputs=inputs,
                skip=others,
            ):
                pass

        return run

    names = {index: f"block {index + 1} of {count}" for index in picked}
    seconds = interleave(
        {"whole forward": whole, **{names[index]: block(index) for index in picked}},
        repeats=given.repeats,
    )
    one = seconds["whole forward"]
    variants = len(layers) // len(picked) * len(FORMATS)
    costs = {names[index]: seconds[names[index]] for index in picked}
    # The first and last block stand for one each, the middle one for those between.
    mean = (costs[names[0]] + costs[names[count - 1]]) / count / 2
    mean = (
        sum(costs.values()) / len(costs)
        if count < 3
        else mean + costs[names[count // 2]] * (1 - 1 / count)
    )
    rows = [
        {
            "what": name,
            "variants": 1 if name == "whole forward" else variants,
            "tokens": text.numel(),
            "cpu_seconds": value,
            "over_whole": value / one / (1 if name == "whole forward" else variants),
        }
        for name, value in {**seconds, "mean over blocks": mean}.items()
    ]
    print(table(rows))
    save("sensitivity", rows)


if __name__ == "__main__":
    main()
