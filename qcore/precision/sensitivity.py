"""What it costs to quantize one layer alone, for every layer and format.

With p the float network's distribution for a token and q_lf the one of the network in which layer l
alone is in format f (its weight, and its input too where inputs share the width), over the
predictions of a probe text:

    kl[l][f]   = mean KL(p ‖ q_lf)                    nats per token   (arXiv 2606.04115, baseline)
    loss[l][f] = mean log p(token) − log q_lf(token)  nats per token; may be negative

Done as it is written, that is a forward of the whole network for each layer and format. Here the
text goes through the float network once, and each variant is computed from where it differs
(`qcore.precision.replay`): on average through half of the blocks and through the head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from qcore.errors import DataError, NumericalError
from qcore.models.families import Linear, blocks, linear_module
from qcore.models.surgery import InputMap
from qcore.precision.layers import layer_sizes
from qcore.precision.replay import Captured, Replay
from qcore.precision.table import BlockSensitivity, Rows
from qcore.progress import Progress, silent

WeightIn = Callable[[Linear, str], Tensor]
"""A layer's weight [out, in], quantized to a format and back."""

MapIn = Callable[[str], InputMap | None]
"""What becomes of a quantized layer's input in a format; None leaves it."""


def measure(
    model: nn.Module,
    windows: Int[Tensor, "windows length"],
    formats: Sequence[str],
    *,
    weight: WeightIn,
    inputs: MapIn | None = None,
    proxy: Callable[[Linear, str], float] | None = None,
    skip: Collection[int] = (),
    progress: Progress = silent,
) -> Iterator[BlockSensitivity]:
    """Sensitivities of every linear, one block at a time.

    Args:
        model: a causal language model of a supported family, in eval mode, in float. It may carry
            a plan, whose online transforms come before `inputs`. It is not changed.
        windows: token ids of the probe text, all of equal length.
        formats: names, from narrow to wide.
        weight: asked once for each layer and format.
        inputs: asked likewise; None leaves all inputs as they are.
        proxy: a layer's relative output error in a format, where that is known.
        skip: blocks whose rows are there already; the text only passes through them.
        progress: told of the blocks that variants went through.

    Raises:
        DataError: windows that hold no prediction.
        NumericalError: a layer in some format gives no finite loss.
    """
    count = len(blocks(model))
    wanted = [block for block in range(count) if block not in skip]
    if not wanted:
        return
    if windows.ndim != 2 or windows.shape[0] < 1 or windows.shape[1] < 2:
        raise DataError(
            f"windows of shape {tuple(windows.shape)} hold no prediction to compare",
            remedy="give at least 1 window of at least 2 tokens",
        )
    replay = Replay(model, windows)
    done, total = 0, sum(count - block for block in wanted)

    def passed(block: int) -> None:
        nonlocal done
        done += 1
        progress(done, total, f"layers of block {block + 1} of {count}, one by one")

    for block in range(wanted[-1] + 1):
        if block in wanted:
            captured = replay.capture(block)
            hidden = [
                replay.behind(
                    linear, _outputs(model, linear, formats, seen[0], weight, inputs), captured
                )
                for linear, seen in captured.items()
            ]
            passed(block)
            kl, loss = replay.costs(block, torch.cat(hidden), partial(passed, block))
            yield BlockSensitivity(
                block=block,
                layers=tuple(layer for layer in layer_sizes(model) if layer.block == block),
                formats=tuple(formats),
                kl=_rows(kl, captured, formats),
                loss=_rows(loss, captured, formats),
                proxy=tuple(
                    tuple(proxy(linear, name) for name in formats) for linear in captured if proxy
                ),
                tokens=len(windows) * (windows.shape[1] - 1),
            )
        replay.advance(block)


@torch.no_grad()
def _outputs(
    model: nn.Module,
    linear: Linear,
    formats: Sequence[str],
    x: Float[Tensor, "windows length in"],
    weight: WeightIn,
    inputs: MapIn | None,
) -> Float[Tensor, "formats windows length out"]:
    """Outputs of a linear in each format."""
    module = linear_module(model, linear)
    outputs = []
    for name in formats:
        change = None if inputs is None else inputs(name)
        rounded = weight(linear, name).to(module.weight.device, module.weight.dtype)
        outputs.append(functional.linear(x if change is None else change(x), rounded, module.bias))
    return torch.stack(outputs)


def _rows(costs: Tensor, linears: Captured, formats: Sequence[str]) -> Rows:
    """Costs by linear, then by format.

    Raises:
        NumericalError: one of them is not finite.
    """
    rows = tuple(tuple(row) for row in costs.view(-1, len(formats)).tolist())
    for linear, row in zip(linears, rows, strict=True):
        for name, cost in zip(formats, row, strict=True):
            if not math.isfinite(cost):
                raise NumericalError(
                    f"{linear.name} alone in {name} gives a loss of {cost}: the network's outputs "
                    "are not finite",
                    remedy="leave that format out, or use float32 instead of bfloat16",
                )
    return rows
