"""A checkpoint folder in Hugging Face layout, examined before anything in it is loaded.

Only JSON and safetensors headers are read: both are data, neither can run code. Whatever is
pickled, or wants code of its own to be run, is refused; so is what is missing or cut short.

A safetensors file is an 8-byte little-endian length N, N bytes of JSON (name → dtype, shape, byte
span), and the tensors' bytes without gaps to the end of the file.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcore.errors import BrokenCheckpoint, UnsafeWeights
from qcore.models.families import Family, family_of_config
from qcore.models.source import CONFIG, INDEX, TOKENIZER_FILES

if TYPE_CHECKING:  # examining a folder needs no torch
    from torch import Tensor

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")

_LARGEST_HEADER = 100_000_000
_DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


def examine(folder: Path) -> tuple[Family, list[Path]]:
    """The family of a checkpoint, and the files that decide what it computes.

    Raises:
        BrokenCheckpoint: a file is missing, truncated or contradicts another.
        UnsafeWeights: pickled weights only, or code that the checkpoint wants to run.
        UnsupportedModel: an unknown architecture.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise BrokenCheckpoint(
            f"folder {folder} {what}", remedy="name a folder with config.json and *.safetensors"
        )
    config = read_config(folder)
    family = family_of_config(config)
    weights = _weights(folder)
    for path in weights:
        check_safetensors(path)
    tokenizer = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not {"tokenizer.json", "tokenizer.model", "vocab.json"} & {path.name for path in tokenizer}:
        raise BrokenCheckpoint(
            f"{folder} has no tokenizer", remedy="add tokenizer.json from where the model came"
        )
    index = [folder / INDEX] if (folder / INDEX).is_file() else []
    return family, [folder / CONFIG, *tokenizer, *index, *weights]


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed config.json, refused when it or the tokenizer names code to run."""
    config = _json(folder / CONFIG)
    tokenizer = folder / "tokenizer_config.json"
    for name, content in ((CONFIG, config), (tokenizer.name, _json(tokenizer, optional=True))):
        if content.get("auto_map"):
            raise UnsafeWeights(
                f"{name} names code of its own to run (auto_map)",
                remedy="remote code is never run here; choose a checkpoint of a built-in "
                "architecture",
            )
    return config


def read_tensor(folder: Path, name: str) -> Tensor:
    """One tensor of an examined checkpoint, mapped from its file; the others are not read.

    Raises:
        BrokenCheckpoint: no file holds it.
    """
    from safetensors import safe_open

    for path in _weights(folder):
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118 -- safe_open is no mapping
                return file.get_tensor(name)
    raise BrokenCheckpoint(
        f"{folder.name} has no tensor {name[:80]!r}", remedy="download the checkpoint again"
    )


def check_safetensors(path: Path) -> None:
    """Check a file's header against its length; reads no tensor.

    Raises:
        BrokenCheckpoint: the file is shorter or longer than its header says, or has no header.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
            raise _damaged(path, f"its header would have {length} bytes in a file of {size}")
        try:
            header = json.loads(file.read(length))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            spans = sorted(_span(entry) for entry in tensors)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _damaged(path, f"its header cannot be read ({type(error).__name__})") from error
    end = 0
    for start, stop in spans:
        if start != end:
            raise _damaged(path, f"its tensors leave a gap or overlap at byte {end}")
        end = stop
    if size != 8 + length + end:
        raise _damaged(path, f"it has {size} bytes and its header describes {8 + length + end}")


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    start, stop = entry["data_offsets"]
    elements = math.prod(entry["shape"])
    expected = _DTYPE_BYTES.get(entry["dtype"])
    if expected is not None and stop - start != elements * expected:
        raise ValueError
    return start, stop


def _weights(folder: Path) -> list[Path]:
    """The safetensors files to load, every shard of the index among them."""
    if (folder / INDEX).is_file():
        shards = _json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BrokenCheckpoint(f"{INDEX} has no weight_map", remedy="download it again")
        names = sorted({str(name) for name in shards.values()})
        # Only files beside the index: a path in it must not lead elsewhere.
        absent = [n for n in names if Path(n).name != n or not (folder / n).is_file()]
        if absent:
            raise BrokenCheckpoint(
                f"{len(absent)} of {len(names)} weight files are missing, {absent[0][:80]} first",
                remedy="download the checkpoint again",
            )
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise UnsafeWeights(
            f"{folder} holds pickled weights only ({pickled[0][:80]}), which can run code",
            remedy="convert them to model.safetensors, or choose a checkpoint that has it",
        )
    raise BrokenCheckpoint(
        f"{folder} has no model.safetensors and no {INDEX}", remedy="download the weights too"
    )


def _json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenCheckpoint(
            f"{path.parent} has no {path.name}", remedy="name a folder in Hugging Face layout"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenCheckpoint(
            f"{path.name} in {path.parent} cannot be read: {error}", remedy="download it again"
        ) from error
    if not isinstance(content, dict):
        raise BrokenCheckpoint(f"{path.name} is not an object", remedy="download it again")
    return content


def _damaged(path: Path, fact: str) -> BrokenCheckpoint:
    return BrokenCheckpoint(f"{path.name} is damaged: {fact}", remedy="download it again")
