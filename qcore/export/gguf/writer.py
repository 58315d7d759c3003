"""Write a GGUF file: codes as they are, the rest in 16 bits, norms and biases in float32.

A float32 network's embedding and head become float16, which rounds them: the one thing that is not
kept to the bit, and what every GGUF does. A bfloat16 network's stay bfloat16.

In llama.cpp's `llama` architecture RoPE turns neighbouring entries of a head, in transformers'
entries half a head apart, so q_proj's and k_proj's rows are re-ordered within every head: rows are
output channels, each with codes and scales of its own, and nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map

from qcore.errors import ExportError
from qcore.export.gguf.blocks import as_read, bytes_of, pack, type_of
from qcore.export.gguf.metadata import add_configuration, head_size, rope_factors
from qcore.export.gguf.tokenizer import add_tokenizer, token_samples
from qcore.export.network import codes_of, formats_of, is_tied, require_static
from qcore.export.proof import digest_tensor, write_logits
from qcore.pipeline.quantized import QuantizedNetwork
from qcore.progress import Progress, silent

FILE = "model.gguf"

_ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor to be written.

    Attributes:
        name: GGUF's: `blk.0.attn_q.weight`.
        source: the network's name for it; empty for what it computes itself.
        kind: how its data is laid out.
        shape: of its numbers, rows first.
        make: its data, rows in GGUF's order.
        read: what a reader must end up with, float32, rows in the network's order.
    """

    name: str
    source: str
    kind: GGMLQuantizationType
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]
    read: Callable[[], torch.Tensor]

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        return bytes_of(self.kind, self.shape)


def tensors_of(made: QuantizedNetwork) -> list[GgufTensor]:
    """Every tensor of the file; none is computed yet.

    Raises:
        ExportError: a format that no type holds, or a rotation at run time.
    """
    require_static(made)
    model, formats = made.network.model, formats_of(made)
    config = model.config
    if config.model_type not in _ARCHITECTURES:
        raise ExportError(
            f"{config.model_type} networks are not written as GGUF here",
            remedy=f"choose one of {', '.join(_ARCHITECTURES)}, or export to compressed-tensors",
        )
    names = get_tensor_name_map(_ARCHITECTURES[config.model_type], config.num_hidden_layers)
    tied = is_tied(model)
    found = []
    for source, parameter in model.named_parameters():
        path, _, leaf = source.rpartition(".")
        if tied and path == made.network.family.head:
            continue
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ExportError(
                f"GGUF has no name for {source}", remedy="export to compressed-tensors"
            )
        order = _order(config, path)
        if leaf == "weight" and path in formats:
            found.append(_quantized(made, path, name, tuple(parameter.shape), order))
        else:
            found.append(_plain(source, name, parameter, order))
    factors = rope_factors(config)
    if factors is not None:
        shape = factors.shape
        found.append(
            GgufTensor(
                "rope_freqs.weight",
                "",
                GGMLQuantizationType.F32,
                shape,
                lambda: factors,
                lambda: torch.from_numpy(factors),
            )
        )
    return found


def write(
    made: QuantizedNetwork,
    folder: Path,
    tensors: Sequence[GgufTensor],
    metadata: dict[str, str],
    progress: Progress = silent,
) -> dict[str, str]:
    """Write the file, the configuration that proves it, and the tokens' log-probabilities.

    Args:
        made: the network.
        folder: empty.
        tensors: of `tensors_of`.
        metadata: provenance, kept under `quantscope.`.
        progress: counts tensors.

    Returns:
        SHA-256 of every tensor as a reader must end up with it, by the network's name.
    """
    model = made.network.model
    writer = GGUFWriter(folder / FILE, model.config.model_type)
    add_configuration(writer, model.config, made.network.source.label)
    add_tokenizer(
        writer, made.network.source.folder, made.network.tokenizer, model.config.vocab_size
    )
    writer.add_quantization_version(2)
    for key, value in metadata.items():
        writer.add_string(f"quantscope.{key}", value)
    for tensor in tensors:
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.bytes, tensor.kind
        )
    digests = {}
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, tensor in enumerate(tensors, start=1):
            writer.write_tensor_data(np.ascontiguousarray(tensor.make()))
            if tensor.source:
                digests[tensor.source] = digest_tensor(tensor.read())
            progress(done, len(tensors), f"{done} of {len(tensors)} tensors")
    finally:
        writer.close()
    _write_config(model, folder)
    with _as_written(model, tensors):
        write_logits(model, folder)
    return digests


def samples(made: QuantizedNetwork) -> dict[str, Any]:
    """What else the gate must know: how some texts are cut into tokens."""
    return {"texts": token_samples(made.network.tokenizer)}


def _quantized(
    made: QuantizedNetwork, path: str, name: str, shape: tuple[int, ...], order: np.ndarray | None
) -> GgufTensor:
    fmt = formats_of(made)[path]

    def make() -> np.ndarray:
        packed = pack(path, codes_of(made, path))
        return packed if order is None else packed[order]

    return GgufTensor(
        name,
        f"{path}.weight",
        type_of(fmt, shape[1]),
        shape,
        make,
        lambda: as_read(codes_of(made, path)),
    )


def _plain(source: str, name: str, parameter: torch.Tensor, order: np.ndarray | None) -> GgufTensor:
    vector = parameter.ndim == 1
    kind = torch.float32 if vector else torch.float16
    if not vector and parameter.dtype == torch.bfloat16:
        kind = torch.bfloat16

    def held() -> torch.Tensor:
        rounded = parameter.detach().cpu().to(kind)
        if not rounded.isfinite().all():
            raise ExportError(
                f"{source} has numbers beyond float16's 65504",
                remedy="export to compressed-tensors, or run the recipe with dtype bfloat16",
            )
        return rounded

    def make() -> np.ndarray:
        rounded = held()
        plain = rounded.view(torch.int16) if kind == torch.bfloat16 else rounded
        return plain.numpy() if order is None else plain.numpy()[order]

    return GgufTensor(
        name, source, _KINDS[kind], tuple(parameter.shape), make, lambda: held().float()
    )


_KINDS = {
    torch.float32: GGMLQuantizationType.F32,
    torch.float16: GGMLQuantizationType.F16,
    torch.bfloat16: GGMLQuantizationType.BF16,
}


@contextmanager
def _as_written(model: Any, tensors: Sequence[GgufTensor]) -> Iterator[None]:
    """The network with what float16 has rounded, so that its log-probabilities are the file's."""
    rounded = {tensor.source: tensor for tensor in tensors if tensor.kind in _KINDS.values()}
    original = {
        name: (parameter, parameter.data)
        for name, parameter in model.named_parameters()
        if name in rounded
    }
    try:
        for name, (parameter, data) in original.items():
            parameter.data = rounded[name].read().to(data.device, data.dtype)
        yield
    finally:
        for parameter, data in original.values():
            parameter.data = data


def _order(config: Any, path: str) -> np.ndarray | None:
    """Rows of q_proj and k_proj as the `llama` architecture's RoPE wants them; else None."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    projection = path.rpartition(".")[2]
    if config.model_type != "llama" or projection not in heads:
        return None
    rows = np.arange(heads[projection] * head_size(config))
    return rows.reshape(heads[projection], 2, -1).swapaxes(1, 2).reshape(-1)


def _write_config(model: Any, folder: Path) -> None:
    config = model.config.to_dict()
    for key in ("_name_or_path", "_model_name_or_path", "quantization_config"):
        config.pop(key, None)
    config["tie_word_embeddings"] = is_tied(model)
    config["architectures"] = [type(model).__name__]
    config["dtype"] = str(model.dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
