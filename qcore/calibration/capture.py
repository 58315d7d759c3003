"""Capture the inputs of every linear: once in float for all recipes, or layer by layer.

`capture` is one float pass. What it yields serves every recipe that asks for float inputs, and any
rotation or permutation of them.

`capture_sequential` shows each site what the *already quantized* layers before it really produce:

    for each block, for each site in execution order:
        H̃ = X̃ᵀX̃ / T under the present weights    →  on_site(site, statistics) quantizes its linears

and, with `float_stream`, also sends the text through the float weights beside it and adds
G = X̃ᵀX / T, which Qronos and GPFQ need. X is what the float network makes of the text or, with
`from_block`, what a block's float weights make of the quantized input of that block.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from jaxtyping import Int
from torch import Tensor, nn

from qcore.calibration.statistics import Accumulator, BlockStatistics, SiteStatistics
from qcore.calibration.walk import Stream
from qcore.event import Progress, silent
from qcore.models.families import Site, block_sites, blocks, linear_module
from qcore.models.surgery import OnlineMap

OnSite = Callable[[Site, SiteStatistics], None]
"""Called with a site and its statistics; expected to replace the weights of the site's linears."""


OnBlock = Callable[[int], bool]
"""Called with a block's index before its sites; True when nothing is left to do there."""


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


def capture_sequential(
    model: nn.Module,
    windows: Int[Tensor, "windows length"],
    on_site: OnSite,
    progress: Progress = silent,
    *,
    on_block: OnBlock = lambda block: False,
    float_stream: bool = False,
    from_block: bool = False,
    scratch: Path | None = None,
) -> None:
    """Show every site, in execution order, what the changed network before it produces.

    `on_site` is expected to change the site's linears (through Surgery) before it returns; input
    maps that are installed are in force, in the float stream's copy of a block they are not.

    Args:
        model: the network, float at the start and as `on_site` leaves it at the end.
        windows: token ids; all of equal length.
        on_site: called once per site.
        progress: told the sites done so far.
        on_block: called before a block's sites; when it returns True it has changed the block
            itself, and the text only passes through.
        float_stream: also walk the float weights beside, and give statistics their `cross`.
        from_block: that walk begins anew at every block, where the changed network has come to.
        scratch: folder for hidden states too large for memory.

    Raises:
        NumericalError: an input is NaN or infinite.
    """
    changed = Stream(model, windows, scratch=scratch)
    plain = Stream(model, windows, scratch=scratch) if float_stream else None
    count = len(blocks(model))
    done = 0
    for block in range(count):
        sites = block_sites(model, block)
        # Weights are replaced by pointing parameters elsewhere, so this twin keeps the float ones.
        original = _float_twin(blocks(model)[block]) if plain is not None else None
        for site in [] if on_block(block) else sites:
            statistics = _site_statistics(model, site, changed, plain, original)
            on_site(site, statistics)
            done += 1
            progress(done, count * len(sites), f"block {block + 1}, {site.name}")
        if block + 1 < count:
            for _ in changed.advance(block):
                pass
            if plain is not None and from_block:
                plain.hidden.copy_(changed.hidden)
            elif plain is not None:
                for _ in plain.advance(block, original):
                    pass


def _site_statistics(
    model: nn.Module, site: Site, changed: Stream, plain: Stream | None, original: nn.Module | None
) -> SiteStatistics:
    reader = linear_module(model, site.linears[0])
    total = Accumulator(reader.in_features, changed.tokens, reader.weight.device, cross=bool(plain))
    if plain is None or original is None:
        for x in changed.inputs(site.block, reader):
            total.add(x)
    else:
        inner = original.get_submodule(site.linears[0].name.partition(".")[2])
        pairs = zip(
            changed.inputs(site.block, reader),
            plain.inputs(site.block, inner, original),
            strict=True,
        )
        for x, float_x in pairs:
            total.add(x, float_x)
    return total.finish(_title(site))


def _float_twin(module: nn.Module) -> nn.Module:
    """The module with the same tensors now, whatever is replaced later, and without hooks.

    Online transforms stay: they belong to the float network.
    """
    twin = module.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    twin._forward_hooks, twin._forward_pre_hooks = OrderedDict(), OrderedDict()
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, OnlineMap):
            twin._forward_pre_hooks[key] = hook.plain()
    twin._parameters = {
        name: None if kept is None else nn.Parameter(kept.data, requires_grad=False)
        for name, kept in module._parameters.items()
    }
    twin._modules = {
        name: None if child is None else _float_twin(child)
        for name, child in module._modules.items()
    }
    return twin


class _Collector:
    """Adds up a site's statistics while its block runs."""

    def __init__(self, model: nn.Module, site: Site, tokens: int):
        reader = linear_module(model, site.linears[0])
        self._title = _title(site)
        self._total = Accumulator(reader.in_features, tokens, reader.weight.device)
        self._handle = reader.register_forward_pre_hook(self._add)

    def _add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._total.add(inputs[0].flatten(0, -2))

    def finish(self) -> SiteStatistics:
        return self._total.finish(self._title)

    def remove(self) -> None:
        self._handle.remove()


def _title(site: Site) -> str:
    return f"{site.block}.{site.name}"
