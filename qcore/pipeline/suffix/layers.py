"""The network's matrices as layers of a recipe: names, sizes, padding, what their inputs were.

Block 0 is the encoder, block 1 the decoder with attention's query and the output. A projection is
called as torch calls a recurrent layer's weights: `weight_hh_l1`.

**Embeddings** are stored by rows, one a token, and looked up: a row's scales are its own, and the
output of the look-up is the row itself, so H is the identity.

**Padding.** A group or an MX block must divide the width, and widths here are odd (an embedding
and six time features make 38). Rows are padded with zeros to the next multiple, as hardware would
have them; the padding's codes are counted as overhead, beside the scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import Format
from qcore.models.families import Linear
from qcore.pipeline.layers import Layer, quantize_together
from qcore.pipeline.methods import Moments
from qcore.precision.layers import LayerSize
from qcore.recipe import Recipe
from qcore.suffix.cells import Tap
from qcore.suffix.matrices import EMBEDDINGS, Matrix, matrices
from qcore.suffix.model import SuffixNetwork

_DECODER = ("decoder", "output", "attention_query", "attention_score")


def linear_of(name: str) -> Linear:
    """A matrix as reports call it."""
    block = 1 if name.startswith(_DECODER) else 0
    side, _, rest = name.partition(".")
    projection = name.removeprefix("encoder_").removeprefix("decoder_")
    if rest:
        layer, _, kind = rest.partition(".")
        projection = f"{kind}_l{layer}"
    return Linear(name, block, projection, site=side, path=name)


def in_order(network: SuffixNetwork) -> list[Matrix]:
    """All matrices in the order in which a case meets them: encoder, attention, decoder, output."""
    found = matrices(network)
    names = list(found)
    late = {"attention_query": 0, "attention_score": 1, "output": 3}

    def place(name: str) -> tuple[int, int, int]:
        if name == "attention_key":
            return (0, 9, 0)
        if name in late:
            return (1, late[name], 0)
        if name == "decoder_embedding":
            return (1, 2, 0)
        if name == "encoder_embedding":
            return (0, 0, 0)
        return (
            (0, 1, names.index(name)) if name.startswith("encoder") else (1, 2, names.index(name))
        )

    return [found[name] for name in sorted(names, key=place)]


def layer_sizes_of(network: SuffixNetwork, formats: Sequence[Format]) -> tuple[LayerSize, ...]:
    """The matrices among which a bit budget is divided; widths as the formats pad them."""
    found = []
    for matrix in in_order(network):
        linear = linear_of(matrix.name)
        outputs, width = matrix.weight.shape
        width = max(padded_width(width, fmt) for fmt in formats)
        found.append(LayerSize(linear.name, linear.block, linear.projection, width, outputs))
    return tuple(found)


def padded_width(width: int, fmt: Format) -> int:
    """The next width that the format's group divides."""
    return width if not fmt.group else -(-width // fmt.group) * fmt.group


def quantize_matrix(recipe: Recipe, matrix: Matrix, fmt: Format, moments: Moments | None) -> Layer:
    """Scale and round one matrix; its row counts the weights without the padding.

    Raises:
        NumericalError: the moments cannot be used.
    """
    outputs, width = matrix.weight.shape
    padded = padded_width(width, fmt)
    weight = torch.nn.functional.pad(matrix.weight.float(), (0, padded - width))
    if moments is not None and padded > width:
        moments = Moments(
            *(
                None if part is None else _padded_moment(part, padded)
                for part in (moments.hessian, moments.cross, moments.float_hessian)
            )  # type: ignore[arg-type]
        )
    ((quantized, row),), _ = quantize_together(
        recipe, [linear_of(matrix.name)], [weight], moments, fmt
    )
    bits = fmt.bits_per_weight(padded) * padded / width
    return quantized, replace(row, parameters=outputs * width, bits_per_weight=bits)


def weight_of(layer: Layer, width: int) -> Tensor:
    """What the network multiplies by in place of the matrix: the padding is cut off."""
    return dequantize(layer[0])[:, :width]


def rounding_tap(formats: dict[str, Format]) -> Tap | None:
    """Rounds the inputs of these matrices dynamically; None where there are none."""
    if not formats:
        return None

    def tap(name: str, x: Tensor) -> Tensor:
        fmt = formats.get(name)
        if fmt is None or not x.is_floating_point():
            return x
        width = x.shape[-1]
        padded = torch.nn.functional.pad(x, (0, padded_width(width, fmt) - width))
        return fake_quantize(padded, fmt)[..., :width]

    return tap


def is_embedding(name: str) -> bool:
    """Whether a matrix is looked up, not multiplied by."""
    return name in EMBEDDINGS


def _padded_moment(moment: Tensor, width: int) -> Tensor:
    """Zeros beside the moment: no calibration case reaches the padding."""
    extra = width - moment.shape[0]
    return torch.nn.functional.pad(moment, (0, extra, 0, extra))
