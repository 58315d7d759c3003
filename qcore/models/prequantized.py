"""By which signs a checkpoint is recognised as quantized already, and by what.

Packed weights are no weights that a network of ours has a place for: without this, such a folder
would be said to lack tensors. A configuration that says it is believed; names and types of tensors
prove it; a tool's own settings file explains tensors that are missing, and proves nothing itself:
it is left behind where weights were made float again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qcore.errors import UnsupportedModel
from qcore.models.files import printable
from qcore.models.headers import Stored

FILES = {
    "quantize_config.json": "GPTQ",
    "quant_config.json": "AWQ",
    "hf_quant_config.json": "ModelOpt",
    "quantization_config.json": "AutoRound",
}
"""What tools call the file with their settings."""

_NAMES = {
    ".weight_packed": "compressed-tensors",
    ".weight_shape": "compressed-tensors",
    ".weight_scale_inv": "FP8",
    ".weight_scale_2": "ModelOpt",
    ".weight_scale": "FP8 or INT8",
    ".weight_zero_point": "compressed-tensors",
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".SCB": "bitsandbytes",
    ".weight.absmax": "bitsandbytes",
    ".weight.quant_map": "bitsandbytes",
    ".W_q": "HQQ",
    ".weight._data": "quanto",
    ".weight._scale": "quanto",
    ".codebooks": "AQLM",
    ".Qidxs": "QuIP#",
    ".weight_blocks": "MXFP4",
    ".weight_scales": "EETQ",
}
"""Ends of tensor names beside or instead of a weight; the first that is found speaks."""

_FLOATS = ("F64", "F32", "F16", "BF16")


def refuse_by_config(config: Mapping[str, Any]) -> None:
    """Refuse what config.json calls quantized.

    Raises:
        UnsupportedModel: it does.
    """
    stated = config.get("quantization_config")
    if stated:
        method = stated.get("quant_method") if isinstance(stated, Mapping) else stated
        named = printable(method, 40) if isinstance(method, str) and method else ""
        raise _refusal(named or "an unknown method", "quantization_config in config.json")
    if config.get("compression_config"):
        raise _refusal("compressed-tensors", "compression_config in config.json")


def refuse_by_tensors(
    stored: Mapping[str, Stored], wanted: Iterable[str], files: Iterable[str]
) -> None:
    """Refuse weights that are packed, or stored as other numbers than floats.

    Args:
        stored: every tensor of the checkpoint.
        wanted: names of the tensors that the network consists of.
        files: names of all files of the folder.

    Raises:
        UnsupportedModel: says by what, and which tensor shows it.
    """
    for ending, method in _NAMES.items():
        shown = next((name for name in stored if name.endswith(ending)), None)
        if shown is not None:
            raise _refusal(_by_file(files, method), f"it holds {printable(shown, 80)}")
    for name in wanted:
        if name in stored and stored[name].dtype not in _FLOATS:
            kind = stored[name].dtype
            method = "bitsandbytes" if any("quant_state" in key for key in stored) else kind
            raise _refusal(_by_file(files, method), f"{printable(name, 80)} is {kind}")


def explain_missing(files: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks tensors and has a quantizing tool's settings beside it.

    Raises:
        UnsupportedModel: there is such a file.
    """
    for name in files:
        if name in FILES:
            raise _refusal(FILES[name], f"it lacks float weights and has a {name}")


def _by_file(files: Iterable[str], otherwise: str) -> str:
    return next((FILES[name] for name in files if name in FILES), otherwise)


def _refusal(method: str, sign: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the checkpoint is quantized already by {method}: {sign}",
        remedy="start from the float checkpoint that it was made from",
    )
