"""A checkpoint folder in Hugging Face layout, examined before anything in it is loaded.

Only JSON and safetensors headers are read: both are data, neither can run code. Whatever is
pickled, or wants code of its own to be run, is refused; so is what is missing or cut short, and a
folder that holds two checkpoints: which files a network comes from must be certain, because their
digest is its name. What an examination returns is what is hashed, and all that loading gets to see
(`qcore.models.view`): files beside it cannot take part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcore.errors import BrokenCheckpoint, QuantscopeError, UnsafeWeights
from qcore.models.expected import check_tensors
from qcore.models.families import family_of_config
from qcore.models.family import Family
from qcore.models.files import (
    LARGEST_TOKENIZER,
    check_regular,
    printable,
    read_json,
)
from qcore.models.headers import AGAIN, read_headers
from qcore.models.headers import check_safetensors as check_safetensors
from qcore.models.source import CONFIG, INDEX, TOKENIZER_FILES
from qcore.models.tokenizers import TOKENIZER_CONFIG, check_tokenizer

if TYPE_CHECKING:  # examining a folder needs no torch
    from torch import Tensor

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
SINGLE = "model.safetensors"

_ADAPTER = "adapter_model.safetensors"
_MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files and the configuration found in a folder.

    Attributes:
        family: of its network.
        config: the parsed config.json.
        files: those that decide what the network computes: config, tokenizer, index and weights.
        weights: those of them that hold tensors.
        notes: sentences about what lies in the folder and takes no part.
    """

    family: Family
    config: dict[str, Any]
    files: tuple[Path, ...]
    weights: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def examine(folder: Path) -> Checkpoint:
    """Examine a folder: its files, and whether a network can be made of it.

    Raises:
        BrokenCheckpoint: a file is missing, truncated, no regular file, or contradicts another;
            the folder holds two checkpoints.
        UnsafeWeights: pickled weights only, or code that the checkpoint wants to run.
        UnsupportedModel: an unknown architecture, or weights that are quantized already.
    """
    with checkpoint_errors(folder):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise BrokenCheckpoint(
                f"folder {printable(str(folder))} {what}",
                remedy="name a folder with config.json and *.safetensors",
            )
        config = read_config(folder)
        names = _names(folder)
        family = family_of_config(config)
        weights = _weights(folder, names)
        left_out = check_tensors(config, family, read_headers(weights), names)
        tokenizer = [folder / name for name in TOKENIZER_FILES if _is_there(folder / name)]
        for path in tokenizer:
            check_regular(path, LARGEST_TOKENIZER, remedy=AGAIN)
        check_tokenizer(folder, {path.name for path in tokenizer})
        index = [folder / INDEX] if (folder / INDEX).is_file() else []
        beside = _beside(names, weights)
        return Checkpoint(
            family,
            config,
            (folder / CONFIG, *tokenizer, *index, *weights),
            tuple(weights),
            (*beside, *left_out),
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed config.json, refused when it or the tokenizer names code to run.

    Raises:
        BrokenCheckpoint: one of the two cannot be read, or is no JSON object.
        UnsafeWeights: code of its own.
    """
    config = read_json(folder / CONFIG)
    tokenizer = folder / TOKENIZER_CONFIG
    for name, content in ((CONFIG, config), (tokenizer.name, read_json(tokenizer, optional=True))):
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

    with checkpoint_errors(folder):
        for path in _weights(folder, _names(folder)):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 -- safe_open is no mapping
                    return file.get_tensor(name)
    raise BrokenCheckpoint(
        f"{folder.name} has no tensor {name[:80]!r}", remedy="download the checkpoint again"
    )


@contextmanager
def checkpoint_errors(folder: Path, what: str = "be read") -> Iterator[None]:
    """The one seam through which a checkpoint's errors pass: whatever it causes is its fault.

    The libraries raise builtin errors of every kind, and some of their own, for files that
    contradict themselves. Errors of ours and a machine without memory pass through unchanged.
    """
    try:
        yield
    except (QuantscopeError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
            raise
        raise BrokenCheckpoint(
            f"{printable(str(folder))} cannot {what}: {_first_line(error)}",
            remedy="check its config.json, or download it again",
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # A validation error's first line names the field, its second says what is wrong with it.
    said = " ".join(lines[:2]) if lines else "no reason given"
    return printable(f"{type(error).__name__}: {said}", 200)


def _is_there(path: Path) -> bool:
    """Whether there is something of that name, be it a link that leads nowhere."""
    return path.exists() or path.is_symlink()


def _names(folder: Path) -> list[str]:
    """Names of the files in a folder, sorted."""
    found = []
    for path in folder.iterdir():
        found.append(path.name)
        if len(found) > _MOST_FILES:
            raise BrokenCheckpoint(
                f"{printable(str(folder))} has more than {_MOST_FILES} files",
                remedy="name a folder that holds one checkpoint",
            )
    return sorted(found)


def _weights(folder: Path, names: list[str]) -> list[Path]:
    """The safetensors files to load, every shard of the index among them."""
    if _is_there(folder / INDEX):
        shards = _indexed(folder, names)
        if SINGLE in names and SINGLE not in shards:
            raise BrokenCheckpoint(
                f"{printable(str(folder))} holds two checkpoints: {SINGLE}, and {INDEX} with "
                f"{_counted(shards)}",
                remedy=f"move {SINGLE}, or {INDEX} and its files, to another folder",
            )
        return [folder / name for name in shards]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if _is_there(folder / SINGLE):
        check_regular(folder / SINGLE, remedy="download it again")
    raise _without_weights(folder, names)


def _indexed(folder: Path, names: list[str]) -> list[str]:
    """The names of the files that the index lists, all of which lie beside it."""
    listed = read_json(folder / INDEX).get("weight_map")
    values = list(listed.values()) if isinstance(listed, dict) else []
    if not values or not all(isinstance(name, str) for name in values):
        raise BrokenCheckpoint(f"{INDEX} has no weight_map", remedy="download it again")
    shards = sorted(set(values))
    # Only files beside the index: a path in it must not lead elsewhere.
    absent = [name for name in shards if Path(name).name != name or name not in names]
    if absent:
        alike = [name for name in names if name.casefold() == absent[0].casefold()]
        raise BrokenCheckpoint(
            f"{len(absent)} of {len(shards)} weight files are missing, "
            f"{printable(absent[0], 80)} first",
            remedy=f"rename {printable(alike[0], 80)} to that"
            if alike
            else "download the checkpoint again",
        )
    return shards


def _without_weights(folder: Path, names: list[str]) -> QuantscopeError:
    """Why a folder without an index and without a single file of weights cannot be loaded."""
    where = printable(str(folder))
    pickled = [name for name in names if Path(name).suffix in PICKLED]
    loose = [name for name in names if name.endswith(".safetensors")]
    if _ADAPTER in loose:
        return BrokenCheckpoint(
            f"{where} holds an adapter ({_ADAPTER}) and no network",
            remedy="merge it into its base model, and save that",
        )
    alike = [name for name in loose if name.casefold() == SINGLE]
    if alike or len(loose) == 1:
        return BrokenCheckpoint(
            f"{where} has no {SINGLE}, but {printable(loose[0], 80)}",
            remedy=f"rename {printable(loose[0], 80)} to {SINGLE} if it is the whole network",
        )
    if loose:
        return BrokenCheckpoint(
            f"{where} has {_counted(loose)} and no {INDEX} that says which of them belong together",
            remedy=f"download {INDEX} too",
        )
    if pickled:
        return UnsafeWeights(
            f"{where} holds pickled weights only ({printable(pickled[0], 80)}), which can run code",
            remedy="convert them to model.safetensors, or choose a checkpoint that has it",
        )
    return BrokenCheckpoint(
        f"{where} has no {SINGLE} and no {INDEX}", remedy="download the weights too"
    )


def _beside(names: list[str], weights: list[Path]) -> list[str]:
    """A sentence about weights that lie in the folder and are not read."""
    read = {path.name for path in weights}
    suffixes = (".safetensors", ".gguf", *PICKLED)
    unread = [name for name in names if Path(name).suffix in suffixes and name not in read]
    unread = [name for name in unread if name != "training_args.bin"]
    if not unread:
        return []
    return [f"The network is that of {_counted(sorted(read))}; not read: {_counted(unread)}."]


def _counted(names: list[str]) -> str:
    shown = ", ".join(printable(name, 80) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
