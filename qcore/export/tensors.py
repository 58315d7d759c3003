"""Tensors that are made when they are written, and safetensors shards that stream them.

safetensors wants all names, types and shapes ahead of the data; both are known before a tensor is
computed. So a checkpoint of any size is written with one tensor in memory.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qcore.progress import Progress, silent

SHARD = 5_000_000_000
"""Bytes of tensors in one file; a larger tensor has a file of its own."""

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
}


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor to be written.

    Attributes:
        name: in the checkpoint.
        dtype: of the tensor that `make` returns.
        shape: likewise.
        make: computes it, on the CPU.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_checkpoint(
    folder: Path,
    tensors: Sequence[LazyTensor],
    metadata: dict[str, str],
    *,
    shard: int = SHARD,
    progress: Progress = silent,
) -> int:
    """Write `model.safetensors`, or shards and their index.

    Args:
        folder: exists and holds none.
        tensors: in the order of the file; each is made once and dropped.
        metadata: goes into every header, beside `format: pt`.
        shard: bytes of tensors in one file.
        progress: counts tensors.

    Returns:
        Bytes of tensors written.
    """
    parts = list(_shards(tensors, shard))
    total = sum(tensor.bytes for tensor in tensors)
    done = 0
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        name = "model.safetensors"
        if len(parts) > 1:
            name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        with (folder / name).open("wb") as file:
            file.write(_header(part, metadata))
            for tensor in part:
                file.write(_data(tensor))
                weight_map[tensor.name] = name
                done += 1
                progress(done, len(tensors), f"{done} of {len(tensors)} tensors")
    if len(parts) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        text = json.dumps(index, indent=2) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return total


def _shards(tensors: Sequence[LazyTensor], most: int) -> Iterator[list[LazyTensor]]:
    part: list[LazyTensor] = []
    size = 0
    for tensor in tensors:
        if part and size + tensor.bytes > most:
            yield part
            part, size = [], 0
        part.append(tensor)
        size += tensor.bytes
    yield part


def _header(tensors: Sequence[LazyTensor], metadata: dict[str, str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    at = 0
    for tensor in tensors:
        entries[tensor.name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.bytes],
        }
        at += tensor.bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _data(tensor: LazyTensor) -> memoryview:
    made = tensor.make().detach().cpu().contiguous()
    if made.dtype != tensor.dtype or tuple(made.shape) != tensor.shape:
        raise AssertionError(f"{tensor.name} is {made.dtype} {tuple(made.shape)}")
    return made.reshape(-1).view(torch.uint8).numpy().data
