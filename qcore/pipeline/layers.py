"""Linear layers to codes and report rows, and a block of them to one artifact and back.

Linears that read the same input share a Hessian, so their weights are stacked and rounded in one
go: rows are independent in every method. A layer's errors are computed here, while the float
weight and its inputs' second moments are at hand.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cache.store import Artifact
from qcore.errors import NumericalError
from qcore.formats.coding import dequantize
from qcore.formats.format import Format
from qcore.formats.limits import beyond, clipped
from qcore.formats.quantized import Quantized, Scales
from qcore.models.families import Linear
from qcore.pipeline.methods import Moments, find_scales_of, round_weight
from qcore.recipe import Recipe
from qcore.report.report import LayerReport
from qcore.serialization import from_plain, parse_json, to_plain

Layer = tuple[Quantized, LayerReport]


def quantize_together(
    recipe: Recipe,
    linears: Sequence[Linear],
    weights: Sequence[Tensor],
    moments: Moments | None,
    fmt: Format,
    scales: Scales | None = None,
) -> tuple[list[Layer], Scales | None]:
    """Scale and round layers that read the same input.

    Args:
        recipe: its scales and rounding are used.
        linears: which layers they are.
        weights: float32, each [out, in] with the same `in`.
        moments: second moments of their input; None without a capture.
        fmt: what their codes are to mean.
        scales: of the stacked weights, where they are known already.

    Returns:
        The layers, and the scales of the stacked weights that were used, to be kept; None where
        they are part of rounding.

    Raises:
        NumericalError: the Hessian cannot be used.
        NumericalError: a quantized weight is no float32 number.
        InvalidRecipe: the format's group does not divide the layers' width.
    """
    start = time.perf_counter()
    stacked = torch.cat(list(weights))
    if scales is None:
        scales = find_scales_of(recipe, stacked, fmt, moments)
    rounded = round_weight(recipe, stacked, fmt, moments, scales)
    seconds = time.perf_counter() - start
    heights = [len(weight) for weight in weights]
    parts = _split(rounded, heights)
    hessian = None if moments is None else moments.hessian
    layers = [
        (part, _row(linear, weight, part, hessian, seconds * len(weight) / len(stacked)))
        for linear, weight, part in zip(linears, weights, parts, strict=True)
    ]
    return layers, scales


def _split(stacked: Quantized, heights: Sequence[int]) -> list[Quantized]:
    sizes = list(heights)
    codes, scale = stacked.codes.split(sizes), stacked.scales.scale.split(sizes)
    zeros = stacked.scales.zero
    zero = [None] * len(sizes) if zeros is None else zeros.split(sizes)
    return [
        Quantized(part, Scales(s, z), stacked.format, stacked.damping, stacked.asked)
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
        weight_error=_weight_error(linear, error, weight),
        output_error=None if hessian is None else _output_error(error, weight, hessian),
        damping=quantized.damping,
        asked=quantized.asked,
        seconds=round(seconds, 4),
        clipped=clipped(weight, quantized.scales, quantized.format),
        beyond=beyond(weight, quantized.scales, quantized.format) or None,
    )


def _weight_error(linear: Linear, error: Tensor, weight: Tensor) -> float:
    """‖E‖² / ‖W‖².

    Raises:
        NumericalError: a quantized weight is no float32 number.
    """
    found = _ratio(error.square().sum(), weight.square().sum())
    if not math.isfinite(found):  # float32 cannot hold the squares
        error, weight = error.double(), weight.double()
        found = _ratio(error.square().sum(), weight.square().sum())
    if math.isfinite(found):
        return found
    raise NumericalError(
        f"{int((~error.isfinite()).sum())} quantized weights of {linear.name} are beyond float32; "
        f"the largest weight is {float(weight.abs().max()):.3g}",
        remedy='choose an INT format, or the scale rounding "floor"',
    )


def _output_error(error: Tensor, weight: Tensor, hessian: Tensor) -> float | None:
    """‖XEᵀ‖² / ‖XWᵀ‖² = tr(E H Eᵀ) / tr(W H Wᵀ); None where H is beyond float32."""
    if not bool(hessian.diagonal().isfinite().all()):
        return None
    found = _ratio(((error @ hessian) * error).sum(), ((weight @ hessian) * weight).sum())
    if not math.isfinite(found):
        error, weight, hessian = error.double(), weight.double(), hessian.double()
        found = _ratio(((error @ hessian) * error).sum(), ((weight @ hessian) * weight).sum())
    return found if math.isfinite(found) else None


def _ratio(part: Tensor, whole: Tensor) -> float:
    """The quotient, 0 for an all-zero layer, and where rounding alone makes a square negative."""
    if float(whole) <= 0:
        return 0.0
    quotient = float(part / whole)
    return 0.0 if quotient < 0 else quotient


def pack(layers: Sequence[Layer]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of one block's artifact."""
    tensors: dict[str, Tensor] = {}
    for quantized, row in layers:
        tensors[f"{row.name}.codes"] = quantized.codes
        tensors[f"{row.name}.scale"] = quantized.scales.scale
        if quantized.scales.zero is not None:
            tensors[f"{row.name}.zero"] = quantized.scales.zero
    metadata = {"rows": json.dumps([to_plain(row) for _, row in layers])}
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata


def rows(artifact: Artifact) -> list[LayerReport]:
    """The layer rows of a packed block."""
    kept = parse_json(artifact.metadata["rows"])
    return [from_plain(LayerReport, row, "layer") for row in kept]


def unpack(artifact: Artifact, format_of: Callable[[str], Format]) -> dict[str, Quantized]:
    """The layers of a packed block, by name, whose formats are known by name too."""
    tensors = artifact.tensors
    return {
        row.name: Quantized(
            tensors[f"{row.name}.codes"],
            Scales(tensors[f"{row.name}.scale"], tensors.get(f"{row.name}.zero")),
            format_of(row.name),
            row.damping,
            row.asked,
        )
        for row in rows(artifact)
    }
