"""The quantize stage: decoder blocks to codes, one artifact per block.

A block is the unit of resuming: a run that was killed finds the finished blocks in the cache.
Scales that take long to find, and depend on the float network alone, are artifacts of their own,
so recipes that differ in rounding find them once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import torch
from torch import Tensor

from cache.store import Artifact, Cache
from qcore.calibration.sequential import capture_sequential
from qcore.calibration.statistics import SiteStatistics
from qcore.errors import CorruptEntry
from qcore.formats.coding import dequantize
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.models.families import Linear, Site, block_sites
from qcore.models.loading import Network
from qcore.models.surgery import Surgery
from qcore.pipeline.activations import HeldExponents, quantize_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.layer_formats import LayerFormats
from qcore.pipeline.layers import Layer, pack, quantize_together, rows, unpack
from qcore.pipeline.methods import Moments, needs_cross
from qcore.pipeline.stages.capture import Calibrator
from qcore.pipeline.stages.transform import Transformer
from qcore.progress import Progress, silent
from qcore.report.report import LayerReport


@dataclass(frozen=True, slots=True)
class _Stack:
    """Linears that read one input and have one format: they are quantized as one matrix."""

    label: str
    linears: tuple[Linear, ...]
    fmt: Format


class Quantizer:
    """Quantizes what is missing, and lends out the quantized network.

    As a context manager it leaves the network as the transformer made it.
    """

    def __init__(self, keys: Keys, cache: Cache, calibrator: Calibrator, transformer: Transformer):
        self._keys = keys
        self._recipe = keys.recipe
        self._cache = cache
        self._calibrator = calibrator
        self._transformer = transformer
        self._formats = LayerFormats(keys.recipe, {})
        self.held = HeldExponents()
        self._surgery: Surgery | None = None
        self._held: dict[int, Artifact] = {}

    def assign(self, formats: Mapping[str, str]) -> None:
        """Use these formats, by layer, in place of the recipe's one. Call it before `quantize`."""
        self._formats = LayerFormats(self._recipe, formats)

    def __enter__(self) -> Quantizer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._surgery is not None:
            self._surgery.restore()
            self._surgery = None

    def quantize(self, progress: Progress) -> tuple[list[LayerReport], bool]:
        """Make sure that every block is quantized and kept, and have it at hand.

        The blocks are mapped from their files, so that not even an eviction takes them away while
        the network is changed.

        Returns:
            One row per linear layer, in order, and whether the cache had them all.
        """
        for block in range(self._blocks):
            self._hold(block)
        missing = [block for block in range(self._blocks) if block not in self._held]
        if missing and self._recipe.rounding.inputs != "float":
            self._quantize_in_sequence(progress)
        elif missing:
            self._quantize_apart(missing, progress)
        held = [self._block(block) for block in range(self._blocks)]
        return [row for artifact in held for row in rows(artifact)], not missing

    def network(self, progress: Progress = silent) -> Network:
        """The network with its quantized weights and activation quantizers in place."""
        network = self._transformer.network(progress)
        if self._surgery is None:
            self._surgery = Surgery(network.model)
            for block, artifact in self._held.items():
                self._install(self._surgery, artifact, block)
            quantize_inputs(self._surgery, self._formats.inputs, self.held)
        return network

    def codes(self, block: int) -> dict[str, Quantized]:
        """Codes and scales of a block's linears by module path; call `quantize` before."""
        model = self._transformer.network().model
        paths = {
            item.name: item.path for site in block_sites(model, block) for item in site.linears
        }
        kept = unpack(self._block(block), self._formats.weight)
        return {paths[name]: quantized for name, quantized in kept.items()}

    @property
    def _blocks(self) -> int:
        return self._calibrator.blocks

    def _key(self, block: int) -> str:
        return self._keys.block("quantize", block)

    def _block(self, block: int) -> Artifact:
        """The block's artifact.

        Raises:
            CorruptEntry: it was made just now, and the cache cannot give it back.
        """
        if block not in self._held:
            raise CorruptEntry(
                f"block {block} cannot be read back from the cache",
                remedy="run the recipe again; if it recurs, raise QUANTSCOPE_CACHE_GB or check "
                "the disk",
            )
        return self._held[block]

    def _hold(self, block: int) -> None:
        kept = self._cache.artifact(self._key(block))
        if kept is not None:
            self._held[block] = kept

    def _keep(self, block: int, layers: list[Layer]) -> None:
        sites = block_sites(self._transformer.network().model, block)
        order = [linear.name for site in sites for linear in site.linears]
        layers = sorted(layers, key=lambda layer: order.index(layer[1].name))
        self._cache.put_artifact(self._key(block), *pack(layers))
        self._hold(block)

    def _quantize_apart(self, blocks: Sequence[int], progress: Progress) -> None:
        """Blocks that know nothing of each other, one to a core.

        The columns of one layer wait for each other, so a core is used better by another block
        than by another part of the same product.
        """
        self._calibrator.hold(blocks)
        self._transformer.network(progress)
        threads = torch.get_num_threads()
        workers = threads if self._device.type == "cpu" else 1
        progress(0, len(blocks), f"{len(blocks)} blocks")
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        try:
            tasks = [pool.submit(self._quantize_block, block) for block in blocks]
            for done, task in enumerate(as_completed(tasks), start=1):
                task.result()
                progress(done, len(blocks), f"{done} of {len(blocks)} blocks")
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _quantize_block(self, block: int) -> None:
        """One block on the float network's statistics, or on none."""
        model = self._transformer.network().model
        statistics = self._calibrator.block(block).sites if self._keys.capture else {}
        key = self._keys.block("scales", block)
        share = self._recipe.scales.method == "piso" and self._recipe.rounding.inputs == "float"
        kept = self._cache.artifact(key) if share else None
        layers: list[Layer] = []
        found: dict[str, Tensor] = {}
        for site in block_sites(model, block):
            seen = statistics.get(site.name)
            hessian = None if seen is None else self._transformer.moment(site, seen.hessian)
            moments = None if hessian is None else Moments(hessian.to(self._device))
            for stack in self._stacks(site):
                known = None if kept is None else _scales_of(kept, stack.label)
                made, scales = self._quantize_stack(stack, moments, known)
                layers += made
                if share and scales is not None:
                    found[f"{stack.label}.scale"] = scales.scale.cpu()
                    if scales.zero is not None:
                        found[f"{stack.label}.zero"] = scales.zero.cpu()
        if found and kept is None:
            self._cache.put_artifact(key, found)
        self._keep(block, layers)

    def _quantize_in_sequence(self, progress: Progress) -> None:
        """All blocks, each layer on what the quantized layers before it really produce."""
        windows = self._calibrator.windows()
        if self._recipe.rounding.interleaving == "decoupled":
            self._calibrator.hold(range(self._blocks))
        model = self._transformer.network(progress).model
        surgery = Surgery(model)
        layers: list[Layer] = []

        def on_site(site: Site, statistics: SiteStatistics) -> None:
            moments = self._moments(site, statistics)
            for stack in self._stacks(site):
                made, _ = self._quantize_stack(stack, moments, None)
                for linear, (quantized, _) in zip(stack.linears, made, strict=True):
                    surgery.replace_weight(linear, dequantize(quantized))
                layers.extend(made)
            if site == block_sites(model, site.block)[-1]:
                self._keep(site.block, layers)
                layers.clear()

        def on_block(block: int) -> bool:
            if block in self._held:
                self._install(surgery, self._held[block], block)
            return block in self._held

        try:
            quantize_inputs(surgery, self._formats.inputs)
            capture_sequential(
                model,
                windows,
                on_site,
                progress,
                on_block=on_block,
                float_stream=needs_cross(self._recipe),
                from_block=self._recipe.rounding.inputs == "block",
            )
        finally:
            surgery.restore()

    def _stacks(self, site: Site) -> list[_Stack]:
        """The site's linears, those of one format together."""
        by_format: dict[Format, list[Linear]] = {}
        for linear in site.linears:
            by_format.setdefault(self._formats.weight(linear.name), []).append(linear)
        alone = len(by_format) == 1
        return [
            _Stack(site.name if alone else f"{site.name}.{fmt.name}", tuple(linears), fmt)
            for fmt, linears in by_format.items()
        ]

    def _quantize_stack(
        self, stack: _Stack, moments: Moments | None, scales: Scales | None
    ) -> tuple[list[Layer], Scales | None]:
        weights = [self._transformer.weight(linear) for linear in stack.linears]
        return quantize_together(self._recipe, stack.linears, weights, moments, stack.fmt, scales)

    def _moments(self, site: Site, statistics: SiteStatistics) -> Moments:
        """Of a site as the changed network shows it, with the float network's where asked for."""
        plain = None
        if self._recipe.rounding.interleaving == "decoupled":
            seen = self._calibrator.block(site.block).sites[site.name].hessian
            plain = self._transformer.moment(site, seen).to(self._device)
        cross = None if statistics.cross is None else statistics.cross.to(self._device)
        return Moments(statistics.hessian.to(self._device), cross, plain)

    @property
    def _device(self) -> torch.device:
        return next(self._transformer.network().model.parameters()).device

    def _install(self, surgery: Surgery, artifact: Artifact, block: int) -> None:
        model = self._transformer.network().model
        linears = {item.name: item for site in block_sites(model, block) for item in site.linears}
        for name, quantized in unpack(artifact, self._formats.weight).items():
            surgery.replace_weight(linears[name], dequantize(quantized))


def _scales_of(artifact: Artifact, label: str) -> Scales:
    tensors = artifact.tensors
    return Scales(tensors[f"{label}.scale"], tensors.get(f"{label}.zero"))
