"""The quantize stage: every linear layer of a decoder block to codes, one artifact per block.

A block is the unit of resuming: a run that was killed finds the finished blocks in the cache.
Linears that read the same input share a Hessian, so their weights are stacked and rounded in one
go: rows are independent in every method. A layer's errors are computed here, while the float
weight and its inputs' second moments are at hand, and travel in the artifact's metadata.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from cache.store import Artifact, Cache
from qcore.calibration.capture import capture_sequential
from qcore.calibration.statistics import SiteStatistics
from qcore.errors import CorruptEntry
from qcore.event import Progress, silent
from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales
from qcore.models.families import Linear, Site, block_sites
from qcore.models.loading import Network
from qcore.models.surgery import Surgery
from qcore.pipeline.calibrate import Calibrator
from qcore.pipeline.keys import Keys
from qcore.pipeline.workbench import Workbench
from qcore.plain import from_plain, parse_json, to_plain
from qcore.recipe import Recipe, Rounding
from qcore.report import LayerReport
from qcore.rounding.gptq import gptq
from qcore.rounding.rtn import rtn
from qcore.scales.find import find_scales

Layer = tuple[Quantized, LayerReport]


class Quantizer:
    """Quantizes what is missing, and lends out the quantized network.

    As a context manager it leaves the network as it was.
    """

    def __init__(self, keys: Keys, cache: Cache, bench: Workbench, calibrator: Calibrator):
        self._keys = keys
        self._recipe = keys.recipe
        self._cache = cache
        self._bench = bench
        self._calibrator = calibrator
        self._surgery: Surgery | None = None

    def __enter__(self) -> Quantizer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._surgery is not None:
            self._surgery.restore()
            self._surgery = None

    def quantize(self, progress: Progress) -> tuple[list[LayerReport], bool]:
        """Make sure that every block is quantized and kept.

        Returns:
            One row per linear layer, in order, and whether the cache had them all.
        """
        missing = [b for b in range(self._blocks) if not self._cache.has(self._key(b))]
        if missing and self._recipe.rounding.inputs == "quantized":
            self._quantize_in_sequence(progress)
        else:
            for done, block in enumerate(missing):
                progress(done, len(missing), f"block {block + 1} of {self._blocks}")
                self._quantize_block(block)
        return [row for b in range(self._blocks) for row in _rows(self._block(b))], not missing

    def network(self, progress: Progress = silent) -> Network:
        """The network with its quantized weights and activation quantizers in place."""
        network = self._bench.network(self._keys, progress)
        if self._surgery is None:
            # All blocks first: one that the cache has lost is made again from the float network.
            wanted = range(self._blocks) if self._recipe.weights is not None else ()
            quantized = [self._block(block) for block in wanted]
            self._surgery = Surgery(network.model)
            for block, artifact in enumerate(quantized):
                self._install(self._surgery, artifact, block)
            self._map_inputs(self._surgery)
        return network

    @property
    def _blocks(self) -> int:
        return self._bench.facts(self._keys, self._cache)["blocks"]

    def _key(self, block: int) -> str:
        return self._keys.block("quantize", block)

    def _block(self, block: int) -> Artifact:
        """The block's artifact; quantized again if the cache has lost it."""
        kept = self._cache.artifact(self._key(block))
        if kept is None:
            if self._recipe.rounding.inputs == "quantized":
                self._quantize_in_sequence(silent)
            else:
                self._quantize_block(block)
            kept = self._cache.artifact(self._key(block))
        if kept is None:
            raise CorruptEntry(
                f"block {block} cannot be read back from the cache",
                remedy="raise QUANTSCOPE_CACHE_GB, or check the disk",
            )
        return kept

    def _quantize_block(self, block: int) -> None:
        """One block on the float network's statistics, or on none."""
        model = self._bench.network(self._keys, silent).model
        statistics = self._calibrator.block(block).sites if self._keys.capture else {}
        layers: list[Layer] = []
        for site in block_sites(model, block):
            layers += self._quantize_site(Surgery(model), site, statistics.get(site.name))
        self._cache.put_artifact(self._key(block), *_pack(layers))

    def _quantize_in_sequence(self, progress: Progress) -> None:
        """All blocks, each layer on what the quantized layers before it really produce."""
        network = self._bench.network(self._keys, progress)
        surgery = Surgery(network.model)
        layers: list[Layer] = []

        def on_site(site: Site, statistics: SiteStatistics) -> None:
            made = self._quantize_site(surgery, site, statistics)
            for linear, (quantized, _) in zip(site.linears, made, strict=True):
                surgery.replace_weight(linear, dequantize(quantized))
            layers.extend(made)
            if site == block_sites(network.model, site.block)[-1]:
                self._cache.put_artifact(self._key(site.block), *_pack(layers))
                layers.clear()

        try:
            finished = 0
            while finished < self._blocks and (kept := self._cache.artifact(self._key(finished))):
                self._install(surgery, kept, finished)
                finished += 1
            self._map_inputs(surgery)
            windows = self._calibrator.windows()
            capture_sequential(network.model, windows, on_site, progress, skip=finished)
        finally:
            surgery.restore()

    def _quantize_site(
        self, surgery: Surgery, site: Site, statistics: SiteStatistics | None
    ) -> list[Layer]:
        weights = [surgery.float_weight(linear).float() for linear in site.linears]
        hessian = None if statistics is None else statistics.hessian.to(weights[0].device)
        return quantize_together(self._recipe, site.linears, weights, hessian)

    def _install(self, surgery: Surgery, artifact: Artifact, block: int) -> None:
        assert self._recipe.weights is not None
        model = self._bench.network(self._keys, silent).model
        linears = {item.name: item for site in block_sites(model, block) for item in site.linears}
        for name, quantized in _unpack(artifact, self._recipe.weights.value).items():
            surgery.replace_weight(linears[name], dequantize(quantized))

    def _map_inputs(self, surgery: Surgery) -> None:
        if self._recipe.activations is not None:
            fmt = self._recipe.activations.value
            surgery.map_inputs(lambda site: lambda x: fake_quantize(x, fmt))


def quantize_together(
    recipe: Recipe, linears: Sequence[Linear], weights: Sequence[Tensor], hessian: Tensor | None
) -> list[Layer]:
    """Scale and round layers that read the same input.

    Args:
        recipe: its scales and rounding are used; its weights part must not be None.
        linears: which layers they are.
        weights: float32, each [out, in] with the same `in`.
        hessian: second moments of their input, [in, in]; None without a capture.

    Raises:
        NumericalError: the Hessian cannot be used.
        InvalidRecipe: the format's group does not divide the layers' width.
    """
    assert recipe.weights is not None
    fmt = recipe.weights.value
    start = time.perf_counter()
    stacked = torch.cat(list(weights))
    scales = find_scales(recipe.scales.method, stacked, fmt)
    rounded = _round(recipe.rounding, stacked, scales, fmt, hessian)
    seconds = time.perf_counter() - start
    heights = [len(weight) for weight in weights]
    parts = _split(rounded, heights)
    return [
        (part, _row(linear, weight, part, hessian, seconds * len(weight) / len(stacked)))
        for linear, weight, part in zip(linears, weights, parts, strict=True)
    ]


def _round(
    rounding: Rounding, weight: Tensor, scales: Scales, fmt: Format, hessian: Tensor | None
) -> Quantized:
    if rounding.method == "rtn":
        return rtn(weight, scales, fmt)
    assert hessian is not None  # a recipe without a capture is refused at the door
    return gptq(
        weight, hessian, scales, fmt, act_order=rounding.act_order, damping=rounding.damping
    )


def _split(stacked: Quantized, heights: Sequence[int]) -> list[Quantized]:
    sizes = list(heights)
    codes, scale = stacked.codes.split(sizes), stacked.scales.scale.split(sizes)
    zeros = stacked.scales.zero
    zero = [None] * len(sizes) if zeros is None else zeros.split(sizes)
    return [
        Quantized(part, Scales(s, z), stacked.format, stacked.damping)
        for part, s, z in zip(codes, scale, zero, strict=True)
    ]


def _row(
    linear: Linear, weight: Tensor, quantized: Quantized, hessian: Tensor | None, seconds: float
) -> LayerReport:
    error = dequantize(quantized) - weight
    return LayerReport(
        name=linear.name,
        block=linear.block,
        projection=linear.projection,
        format=quantized.format.name,
        parameters=weight.numel(),
        element_bits=quantized.format.bits,
        bits_per_weight=quantized.format.bits_per_weight(weight.shape[1]),
        weight_error=_ratio(error.square().sum(), weight.square().sum()),
        output_error=None if hessian is None else _output_error(error, weight, hessian),
        damping=quantized.damping,
        seconds=round(seconds, 4),
    )


def _output_error(error: Tensor, weight: Tensor, hessian: Tensor) -> float:
    """‖XEᵀ‖² / ‖XWᵀ‖² = tr(E H Eᵀ) / tr(W H Wᵀ)."""
    return _ratio(((error @ hessian) * error).sum(), ((weight @ hessian) * weight).sum())


def _ratio(part: Tensor, whole: Tensor) -> float:
    """The quotient, 0 for an all-zero layer."""
    return float(part / whole) if float(whole) > 0 else 0.0


def _pack(layers: Sequence[Layer]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of one block's artifact."""
    tensors: dict[str, Tensor] = {}
    for quantized, row in layers:
        tensors[f"{row.name}.codes"] = quantized.codes
        tensors[f"{row.name}.scale"] = quantized.scales.scale
        if quantized.scales.zero is not None:
            tensors[f"{row.name}.zero"] = quantized.scales.zero
    rows = json.dumps([to_plain(row) for _, row in layers])
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, {"rows": rows}


def _rows(artifact: Artifact) -> list[LayerReport]:
    rows = parse_json(artifact.metadata["rows"])
    return [from_plain(LayerReport, row, "layer") for row in rows]


def _unpack(artifact: Artifact, fmt: Format) -> dict[str, Quantized]:
    tensors = artifact.tensors
    return {
        row.name: Quantized(
            tensors[f"{row.name}.codes"],
            Scales(tensors[f"{row.name}.scale"], tensors.get(f"{row.name}.zero")),
            fmt,
            row.damping,
        )
        for row in _rows(artifact)
    }
