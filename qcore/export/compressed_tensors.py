"""Write a folder that transformers and vLLM load through compressed-tensors.

Everything that is fused stays fused: rotated and permuted weights, norms folded into them, an
untied head. What a network computes at run time between its linears cannot be written: online
rotations and expansions are refused (`servability` says so before a run).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qcore.export.layouts import layout_of
from qcore.export.network import codes_of, formats_of, is_tied, require_static
from qcore.export.proof import digest_tensor, write_logits
from qcore.export.schemes import arguments_of, linear_tensors
from qcore.export.tensors import LazyTensor, write_checkpoint
from qcore.formats.format import Format
from qcore.models.source import TOKENIZER_FILES
from qcore.pipeline.quantized import QuantizedNetwork
from qcore.progress import Progress, silent

BESIDE = (*TOKENIZER_FILES, "generation_config.json")
"""Files that are carried along where the checkpoint has them."""


def tensors_of(made: QuantizedNetwork) -> list[LazyTensor]:
    """Every tensor of the checkpoint, in the order of the network; none is computed yet.

    Raises:
        ExportError: a format that the reader has no layout for, or a rotation at run time.
    """
    require_static(made)
    model, formats = made.network.model, formats_of(made)
    dtype = model.dtype
    tied = is_tied(model)
    found: list[LazyTensor] = []
    for name, parameter in model.named_parameters():
        path, _, leaf = name.rpartition(".")
        if leaf == "weight" and path in formats:
            shape = (parameter.shape[0], parameter.shape[1])
            get = partial(codes_of, made, path)
            found += linear_tensors(path, shape, formats[path], dtype, get)
        elif not (tied and path == made.network.family.head):
            found.append(
                LazyTensor(name, parameter.dtype, tuple(parameter.shape), _as_is(parameter))
            )
    return found


def write(
    made: QuantizedNetwork,
    folder: Path,
    tensors: Sequence[LazyTensor],
    metadata: dict[str, str],
    progress: Progress = silent,
) -> dict[str, str]:
    """Write weights, config, tokenizer and the tokens that prove it.

    Args:
        made: the network.
        folder: empty.
        tensors: of `tensors_of`.
        metadata: provenance for the weights' headers.
        progress: counts tensors.

    Returns:
        SHA-256 of every tensor as a reader must end up with it, by name.
    """
    write_checkpoint(folder, tensors, metadata, progress=progress)
    config = config_of(made)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in BESIDE:
        source = made.network.source.folder / name
        if source.is_file():
            shutil.copyfile(source, folder / name)
    write_logits(made.network.model, folder)
    tied = is_tied(made.network.model)
    return {
        name: digest_tensor(parameter)
        for name, parameter in made.network.model.named_parameters()
        if not (tied and name.startswith(f"{made.network.family.head}."))
    }


def samples(made: QuantizedNetwork) -> dict[str, Any]:
    """What else the gate must know: nothing."""
    return {}


def config_of(made: QuantizedNetwork) -> dict[str, Any]:
    """config.json: the source's own, without how it was stored, with how this is."""
    model = made.network.model
    config = model.config.to_dict()
    config.pop("_name_or_path", None)
    config["dtype"] = str(model.dtype).removeprefix("torch.")
    config["tie_word_embeddings"] = is_tied(model)
    config["architectures"] = [type(model).__name__]
    config["quantization_config"] = quantization_config(formats_of(made))
    return config


def quantization_config(formats: dict[str, Format]) -> dict[str, Any]:
    """The `quantization_config` of linears by module path: a group for each format."""
    groups: dict[str, dict[str, Any]] = {}
    for path, fmt in formats.items():
        stored = {"weights": arguments_of(fmt), "format": layout_of(fmt)}
        group = groups.setdefault(json.dumps(stored), {"targets": [], **stored})
        group["targets"].append(path)
    if len(groups) == 1:
        for group in groups.values():
            group["targets"] = ["Linear"]
    layouts = {group["format"] for group in groups.values()}
    return {
        "quant_method": "compressed-tensors",
        "format": layouts.pop() if len(layouts) == 1 else "mixed-precision",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
        "config_groups": {
            f"group_{number}": {"input_activations": None, "output_activations": None, **group}
            for number, group in enumerate(groups.values())
        },
    }


def _as_is(parameter: Tensor) -> Any:
    return lambda: parameter.data.to(torch.device("cpu"))
