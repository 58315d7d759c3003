"""What every writer asks of a quantized network: formats and codes by module path, the head."""

from __future__ import annotations

from typing import Any

from qcore.errors import ExportError
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized
from qcore.pipeline.quantized import QuantizedNetwork


def formats_of(made: QuantizedNetwork) -> dict[str, Format]:
    """The Format of every quantized linear, by module path."""
    blocks = made.network.model.config.num_hidden_layers
    return {
        path: quantized.format
        for block in range(blocks)
        for path, quantized in made.codes(block).items()
    }


def codes_of(made: QuantizedNetwork, path: str) -> Quantized:
    """The codes and scales of one linear, by its module path: `model.layers.0.mlp.up_proj`."""
    return made.codes(next(int(part) for part in path.split(".") if part.isdigit()))[path]


def is_tied(model: Any) -> bool:
    """Whether the head is the embedding: folding and rotating end that."""
    head = model.get_output_embeddings().weight
    return head.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def require_static(made: QuantizedNetwork) -> None:
    """Refuse a network that rotates something at run time.

    Raises:
        ExportError: says what.
    """
    if made.online:
        raise ExportError(
            f"{len(made.online)} inputs are rotated at run time ({made.online[0].title} first), "
            "which the files cannot say to whoever reads them",
            remedy="quantize without R4, o_proj's rotation and expansion; R1 and R2 are fused",
        )
