"""C4: a quantized forward over a plain one, 512 tokens of the demo model.

The quantized network has R1 and R2 fused, R4 online (in blocks of 32, or over all 1536 channels),
and rounds the input of every linear: `model(...)`, head included, exactly as the pipeline sets it
up. The plain one is the untouched network. Beside them the rotation alone, which tells what
rounding adds, and the same for scoring a window (`evaluation`: chunked losses, no divergence).

    python -m benchmarks.forward [--tokens 512] [--dtype float32 bfloat16] [--repeats 5]
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks._measure import interleave, save, table
from qcore.calibration.text import windows
from qcore.evaluation.perplexity import score_window
from qcore.formats.format import named
from qcore.machine.home import home
from qcore.models.loading import Network, load, resolve
from qcore.models.plan import BlockPlan, Plan
from qcore.models.regions import dimensions
from qcore.models.surgery import Surgery
from qcore.models.transformation import transform
from qcore.pipeline.activations import quantize_inputs
from qcore.recipe import ModelRef
from qcore.transforms.algebra import Transform, head_transforms, site_transform
from qcore.transforms.hadamard import full_rotation

FORMATS = (("int4_asym", None), ("int4", None), ("int8", None), ("int4_asym", 32), ("mxfp4", None))
GOALS = {
    ("float32", "int4_asym"): 1.15,
    ("float32", "mxfp4"): 1.20,
    ("bfloat16", "int4_asym"): 1.20,
    ("bfloat16", "mxfp4"): 1.40,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--block", nargs="+", type=int, default=[32, 0], help="0 rotates fully")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    # Threads that wait for one another burn CPU time on a busy machine; one thread does not.
    torch.set_num_threads(1)
    rows = []
    for dtype in given.dtype:
        plain = demo(dtype)
        text = windows(plain.tokenizer, "lambada/calibration", 1, given.tokens)
        rotated = demo(dtype).model
        for block in given.block:
            with transform(rotated, plan(rotated, block or None)):
                rows += measure(plain.model, rotated, text, dtype, block, given.repeats)
    print(table(rows))
    print(save("forward", rows).name)


def demo(dtype: str) -> Network:
    return load(resolve(ModelRef(), home()), home(), dtype=dtype)


def plan(model: nn.Module, block: int | None) -> Plan:
    """R1 and R2 fused, R4 online."""
    size = dimensions(model)
    heads = head_transforms(size.head_dim, size.kv_heads, full_rotation(size.head_dim, fused=True))
    hidden = site_transform(size.intermediate, block=block)
    residual = Transform(size.hidden, None, full_rotation(size.hidden, seed=0, fused=True))
    return Plan(residual, (BlockPlan(heads, None, hidden),) * size.blocks)


@torch.no_grad()
def measure(
    plain: nn.Module, rotated: nn.Module, text: torch.Tensor, dtype: str, block: int, repeats: int
) -> list[dict[str, object]]:
    """One row per format, beside the rotation alone."""

    def forward(model: nn.Module) -> None:
        model(text, use_cache=False)

    def evaluate(model: Any) -> None:
        score_window(model, text[0])

    def quantized(name: str, group: int | None, what: Callable[[nn.Module], None]) -> None:
        surgery = Surgery(rotated)
        quantize_inputs(surgery, lambda layer: named(name, group))
        try:
            what(rotated)
        finally:
            surgery.restore()

    contenders = {
        "plain": lambda: forward(plain),
        "rotated": lambda: forward(rotated),
        **{title(*each): partial(quantized, *each, forward) for each in FORMATS},
        "plain evaluation": lambda: evaluate(plain),
        "int4_asym evaluation": partial(quantized, "int4_asym", None, evaluate),
        "mxfp4 evaluation": partial(quantized, "mxfp4", None, evaluate),
    }
    seconds = interleave(contenders, repeats=repeats)
    return [
        {
            "dtype": dtype,
            "rotation": f"b={block}" if block else "full",
            "activations": name,
            "cpu_seconds": value,
            "over_plain": value / seconds[f"plain{' evaluation' * ('evaluation' in name)}"],
            "goal": GOALS.get((dtype, name)),
        }
        for name, value in seconds.items()
    ]


def title(name: str, group: int | None) -> str:
    return name if group is None else f"{name} g{group}"


if __name__ == "__main__":
    main()
