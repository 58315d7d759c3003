"""Sensitivities of all linears in every format, against one whole forward for each of them.

The whole forward is `model(...)` with one weight replaced and one input quantized, and the
divergence of its logits, all at once, from kept float log-probabilities. The sensitivities of the
first, the middle and the last block stand for all blocks (the cost falls linearly from the first to
the last); the passes in float that all blocks share are measured apart and count once.
Run: python -m benchmarks.sensitivity [--windows 1] [--length 256]
"""

import argparse

import torch

from benchmarks._measure import interleave, save, table
from qcore.calibration.text import windows
from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import named
from qcore.machine.home import home
from qcore.models.families import blocks, linear_module, linears
from qcore.models.loading import load, resolve
from qcore.models.surgery import changed
from qcore.numerics.distributions import token_divergence
from qcore.precision.replay import Replay
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

    @torch.no_grad()
    def shared():
        replay = Replay(model, text)
        for index in range(count):
            replay.advance(index)

    seconds = interleave(
        {
            "whole forward": whole,
            "float passes": shared,
            **{f"block {index + 1}": block(index) for index in picked},
        },
        repeats=given.repeats,
    )
    one, passes = seconds["whole forward"], seconds["float passes"]
    per_block = 7 * len(FORMATS)
    own = [seconds[f"block {index + 1}"] - passes for index in picked]
    whole_table = passes + count * sum(own) / len(own)
    rows = [
        {
            "what": what,
            "variants": variants,
            "cpu_seconds": cost,
            "over_whole": cost / one / variants,
        }
        for what, variants, cost in (
            ("whole forward", 1, one),
            *(
                (f"block {index + 1}", per_block, cost)
                for index, cost in zip(picked, own, strict=True)
            ),
            ("all blocks, float passes included", count * per_block, whole_table),
        )
    ]
    print(table(rows))
    save("sensitivity", rows)


if __name__ == "__main__":
    main()
