"""What a step of dMX costs over a plain forward pass, and the compiled quantizer its reference.

With --dynamics: where free offsets end, against offsets held in [0, 2] (docs/dmx.md), on a small
random network that predicts text of its own.
Run: python -m benchmarks.dmx [--length 128] [--repeats 3] [--dynamics]
"""

import argparse
from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks._measure import interleave, save, table
from kernels.continuous.operation import quantize_continuous
from qcore.calibration.text import windows
from qcore.machine.home import home
from qcore.models.loading import load, resolve
from qcore.precision import dmx
from qcore.precision.layers import layer_sizes
from qcore.recipe import ModelRef
from qcore.recipe.precision import Precision, Training

TWO = ("mxfp4", "mxfp8_e4m3")
THREE = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dynamics", action="store_true")
    given = parser.parse_args()
    # Threads that wait for one another burn CPU time on a busy machine; one thread does not.
    torch.set_num_threads(1)
    if given.dynamics:
        print(table(rows := dynamics()))
        save("dmx_dynamics", rows)
        return
    rows = [*quantizer(given.repeats), *step(given.length, given.repeats)]
    print(table(rows))
    save("dmx", rows)


def quantizer(repeats: int) -> list[dict[str, Any]]:
    """Forward and backward of one weight as large as the demo model's largest."""
    weight = torch.randn(1536, 576, generator=torch.Generator().manual_seed(0))
    bits = torch.tensor([2.3, 1.4], requires_grad=True)

    def run(implementation):
        return lambda: quantize_continuous(weight, bits, implementation=implementation).backward(
            weight
        )

    seconds = interleave(
        {f"round and back, {each}": run(each) for each in ("torch", "compiled")}, repeats=repeats
    )
    slowest = max(seconds.values())
    return [
        {"what": name, "cpu_seconds": value, "of": "the reference", "ratio": value / slowest}
        for name, value in seconds.items()
    ]


def step(length: int, repeats: int) -> list[dict[str, Any]]:
    """A step on one window of the demo model, blocks remembered or computed twice."""
    network = load(resolve(ModelRef(), home()), home())
    model, layers = network.model, layer_sizes(network.model)
    text = windows(network.tokenizer, "lambada/calibration", 1, length)
    part = Precision("dmx", 5.0, TWO, training=Training(steps=1, length=length))

    @torch.no_grad()
    def plain():
        model(text, use_cache=False)

    def train(recompute):
        return lambda: dmx.train(model, text, layers, part, recompute=recompute)

    contenders = {
        "plain forward": plain,
        "step": train(False),
        "step, blocks computed twice": train(True),
    }
    seconds = interleave(contenders, repeats=repeats)
    return [
        {
            "what": name,
            "cpu_seconds": value,
            "of": "plain forward",
            "ratio": value / seconds["plain forward"],
        }
        for name, value in seconds.items()
    ]


def dynamics() -> list[dict[str, Any]]:
    """Bits at the end of a training, offsets held or free."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=203,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    model: Any = LlamaForCausalLM(config).eval().requires_grad_(False)
    text = torch.randint(0, config.vocab_size, (8, 1))
    with torch.no_grad():
        for _ in range(23):
            odds = model(text).logits[:, -1].softmax(-1)
            text = torch.cat((text, odds.multinomial(1)), 1)
    rows = []
    for formats in (TWO, THREE):
        for budget in (4.5, 5.0):
            training = Training(steps=60, batch=4, length=24)
            part = Precision("dmx", budget, formats, fused=False, training=training)
            held = dmx.train(model, text, layer_sizes(model), part)
            with patch.object(dmx, "RANGE", (-torch.inf, torch.inf)):
                free = dmx.train(model, text, layer_sizes(model), part)
            rows.append(
                {
                    "formats": len(formats),
                    "budget": budget,
                    "bits_held": held.bits,
                    "bits_free": free.bits,
                    "largest_free": max(map(abs, free.offsets.values())),
                }
            )
    return rows


if __name__ == "__main__":
    main()
