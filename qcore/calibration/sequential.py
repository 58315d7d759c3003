"""Show each linear layer what the already quantized layers before it really produce.

    for each block, for each site in execution order:
        H̃ = X̃ᵀX̃ / T under the present weights    →  on_site(site, statistics) quantizes its linears

With a float stream the text also goes through the float weights, and G = X̃ᵀX / T is added, which
Qronos and GPFQ need. X is what the float network makes of the text or, from the block, what a
block's float weights make of the quantized input of that block.

A site's statistics need every token, and the next site's inputs need this site's new weights. Where
a block's inputs of all tokens fit into memory, one pass does for all four sites: the block *pauses*
in front of a site, with every token there, its weights are changed, and it goes on with them.
Otherwise tokens go a few at a time, and the block is run again up to each site.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor, nn

from qcore.calibration.statistics import Accumulator, SiteStatistics
from qcore.calibration.walk import TOKENS_AT_ONCE, Stream
from qcore.models.families import Site, block_sites, blocks, linear_module
from qcore.models.surgery import OnlineMap
from qcore.progress import Progress, silent

HELD = 1 << 30
"""Bytes that the inputs of one block's sites may take, all tokens together, to go in one pass."""

OnSite = Callable[[Site, SiteStatistics], None]
"""Called with a site and its statistics; expected to replace the weights of the site's linears."""

OnBlock = Callable[[int], bool]
"""Called with a block's index before its sites; True when nothing is left to do there."""


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
    walk = _Walk(model, windows, scratch, float_stream, from_block)
    every = [block_sites(model, block) for block in range(len(blocks(model)))]
    total, done = sum(map(len, every)), 0

    def next_site(site: Site, statistics: SiteStatistics) -> None:
        nonlocal done
        on_site(site, statistics)
        done += 1
        progress(done, total, f"block {site.block + 1}, {site.name}")

    for block, sites in enumerate(every):
        walk.enter(block)
        if on_block(block):
            walk.pass_on()
        elif walk.at_once:
            walk.pause(sites, next_site)
        else:
            walk.repeat(sites, next_site)
            walk.pass_on()


class _Walk:
    """The streams through a network that is being changed, and the block they stand in front of.

    Attributes:
        at_once: all tokens go through a block together.
    """

    def __init__(
        self,
        model: nn.Module,
        windows: Int[Tensor, "windows length"],
        scratch: Path | None,
        float_stream: bool,
        from_block: bool,
    ):
        step = windows.numel() if _fits(model, windows) else None

        def stream() -> Stream:
            return Stream(model, windows, scratch=scratch, at_once=step)

        self._model = model
        self._changed = stream()
        # From the block, the changed stream is the float one too: it stays until the block is done.
        self._plain = stream() if float_stream and not from_block else None
        self._with_floats = float_stream
        self._block = 0
        self._twin: nn.Module | None = None
        self.at_once = self._changed.steps == 1

    def enter(self, block: int) -> None:
        """Stand in front of a block whose weights are still the float ones."""
        self._block = block
        # Weights are replaced by pointing parameters elsewhere, so the twin keeps the float ones.
        self._twin = _float_twin(blocks(self._model)[block]) if self._with_floats else None

    def pass_on(self) -> None:
        """Send both streams through the block as it is now; nothing follows the last one."""
        if self._block + 1 < len(blocks(self._model)):
            _exhaust(self._changed.advance(self._block))
            if self._plain is not None:
                _exhaust(self._plain.advance(self._block, self._twin))

    def pause(self, sites: Sequence[Site], on_site: OnSite) -> None:
        """Pass on, and stop in front of every site for it to be changed."""
        floats = self._float_inputs(sites)
        handles = []
        for site, float_x in zip(sites, floats, strict=True):
            reader = linear_module(self._model, site.linears[0])
            total = self._accumulator(reader)
            handles.append(reader.register_forward_pre_hook(_Pause(site, total, float_x, on_site)))
        try:
            _exhaust(self._changed.advance(self._block))
        finally:
            for handle in handles:
                handle.remove()

    def repeat(self, sites: Sequence[Site], on_site: OnSite) -> None:
        """Run the block up to each site in turn, a few tokens at a time."""
        for site in sites:
            reader = linear_module(self._model, site.linears[0])
            total = self._accumulator(reader)
            steps = self._changed.inputs(self._block, reader)
            if self._twin is None:
                for x in steps:
                    total.add(x)
            else:
                inner = _reader(self._twin, site)
                beside = (self._plain or self._changed).inputs(self._block, inner, self._twin)
                for x, float_x in zip(steps, beside, strict=True):
                    total.add(x, float_x)
            on_site(site, total.finish(site.title))

    def _float_inputs(
        self, sites: Sequence[Site]
    ) -> Sequence[Float[Tensor, "tokens width"]] | Sequence[None]:
        """Inputs of the float weights at every site, all tokens; None without them."""
        if self._twin is None:
            return [None] * len(sites)
        found: list[Tensor] = []
        readers = [_reader(self._twin, site) for site in sites]
        stream = (self._plain or self._changed).hidden
        handles = [reader.register_forward_pre_hook(_keeping(found, stream)) for reader in readers]
        try:
            if self._plain is not None:
                _exhaust(self._plain.advance(self._block, self._twin))
            else:
                _exhaust(self._changed.inputs(self._block, readers[-1], self._twin))
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _accumulator(self, reader: nn.Linear) -> Accumulator:
        tokens, device = self._changed.tokens, reader.weight.device
        return Accumulator(reader.in_features, tokens, device, cross=self._twin is not None)


class _Pause:
    """Hook of a site's first linear: passes its input on, once, and lets the forward go on."""

    def __init__(self, site: Site, total: Accumulator, float_x: Tensor | None, on_site: OnSite):
        self._site = site
        self._total: Accumulator | None = total
        self._float_x = float_x
        self._on_site = on_site

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        total, self._total = self._total, None
        if total is None:  # who changes the site may run the network, too
            return
        x, beside = inputs[0].flatten(0, -2), self._float_x
        for at in range(0, len(x), TOKENS_AT_ONCE):
            part = slice(at, at + TOKENS_AT_ONCE)
            total.add(x[part], None if beside is None else beside[part])
        self._on_site(self._site, total.finish(self._site.title))


def _keeping(
    found: list[Tensor], stream: Tensor
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].flatten(0, -2)
        # Where no norm stands before a linear it reads the stream, which is about to be advanced.
        aliased = x.untyped_storage().data_ptr() == stream.untyped_storage().data_ptr()
        found.append(x.clone() if aliased else x)

    return keep


def _fits(model: nn.Module, windows: Tensor) -> bool:
    """Whether one block's inputs of all tokens may be held."""
    readers = [linear_module(model, site.linears[0]) for site in block_sites(model, 0)]
    a_token = sum(reader.in_features * reader.weight.itemsize for reader in readers)
    return windows.numel() * a_token <= HELD


def _reader(block: nn.Module, site: Site) -> nn.Module:
    """The linear of a block that reads a site, by the block's own names."""
    return block.get_submodule(site.linears[0].name.partition(".")[2])


def _exhaust(steps: Iterator[object]) -> None:
    for _ in steps:
        pass


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
