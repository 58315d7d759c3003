"""Capture the inputs of every linear of the float network, in one pass over the text.

What it yields serves every recipe that asks for float inputs, and any rotation or permutation of
them. `qcore.calibration.sequential` shows layers what quantized ones before them produce.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from jaxtyping import Int
from torch import Tensor, nn

from qcore.calibration.statistics import Accumulator, BlockStatistics, SiteStatistics
from qcore.calibration.walk import Stream
from qcore.models.families import Site, block_sites, blocks, linear_module
from qcore.progress import Progress, silent


def capture(
    model: nn.Module,
    windows: Int[Tensor, "windows length"],
    progress: Progress = silent,
    *,
    skip: Collection[int] = (),
    scratch: Path | None = None,
) -> Iterator[BlockStatistics]:
    """Statistics of every block's four sites, block by block, in one pass over the text.

    Args:
        model: a causal language model of a supported family, in eval mode; not changed.
        windows: token ids; all of equal length.
        progress: told the windows-through-blocks done so far.
        skip: blocks whose statistics are there already; the text only passes through them.
        scratch: folder for hidden states too large for memory.

    Raises:
        NumericalError: an input is NaN or infinite.
    """
    wanted = [block for block in range(len(blocks(model))) if block not in skip]
    if not wanted:
        return
    stream = Stream(model, windows, scratch=scratch)
    total = (wanted[-1] + 1) * stream.steps
    for block in range(wanted[-1] + 1):
        sites = block_sites(model, block) if block in wanted else []
        collectors = {site.name: _Collector(model, site, stream.tokens) for site in sites}
        try:
            for step in stream.advance(block):
                progress(block * stream.steps + step, total, f"block {block + 1}")
        finally:
            for collector in collectors.values():
                collector.remove()
        if sites:
            yield BlockStatistics(block, {n: item.finish() for n, item in collectors.items()})


class _Collector:
    """Adds up a site's statistics while its block runs."""

    def __init__(self, model: nn.Module, site: Site, tokens: int):
        reader = linear_module(model, site.linears[0])
        self._title = site.title
        self._total = Accumulator(reader.in_features, tokens, reader.weight.device)
        self._handle = reader.register_forward_pre_hook(self._add)

    def _add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._total.add(inputs[0].flatten(0, -2))

    def finish(self) -> SiteStatistics:
        return self._total.finish(self._title)

    def remove(self) -> None:
        self._handle.remove()
