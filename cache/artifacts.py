"""Arrays by key: one safetensors file each, written whole or not at all.

A file appears under its name by a rename, after its bytes have reached the disk, so a killed
writer leaves at most a nameless part, which is swept later. The header carries a seal: the SHA-256
over the key, the metadata, and every tensor's name, type, shape and bytes. It is checked once per
process and file; after that, loading only maps the file into memory (the mapping is private:
writing into a loaded tensor does not reach the disk).

The file's access time is set by hand at every use and ranks the files for eviction. Removing a
file that somebody has mapped is safe: the bytes live until the last mapping goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache.digest import digest
from cache.unwritable import refusal, writable
from qcore.errors import CorruptEntry, DiskFull

if TYPE_CHECKING:  # torch takes seconds to import, and whoever only looks needs none of it
    import torch

SUFFIX = ".safetensors"
SEAL = "quantscope.seal"
PART_SECONDS = 15 * 60
"""A part not written to for so long has lost its writer."""
RECENT_SECONDS = 10 * 60
"""Files used so recently are probably about to be used again; they are evicted last."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """Named arrays and a few words about them.

    Attributes:
        tensors: by name, on the CPU, mapped from the file.
        metadata: text by name, as given.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]


class Artifacts:
    """Artifacts in `folder`, which nobody else writes to.

    Args:
        folder: exists.
        note: told, in a sentence, whatever went wrong without harm.
    """

    def __init__(self, folder: Path, note: Callable[[str], None]):
        self._folder = folder
        self._note = note
        self._checked: dict[str, tuple[int, int, int]] = {}
        self._sweep()

    def get(self, key: str) -> Artifact | None:
        """The artifact, or None when there is none or it is damaged."""
        path = self._path(key)
        try:
            version = _version(path)
            found = _load(path, key, check=self._checked.get(key) != version)
        except FileNotFoundError:
            return None
        except CorruptEntry as error:
            self._note(f"array file {key[:12]} is not used and lies aside: {error.fact}")
            with contextlib.suppress(OSError):
                os.replace(path, path.with_suffix(".broken"))
            return None
        except OSError as error:
            self._note(f"array file {key[:12]} cannot be read: {error.strerror}")
            return None
        self._checked[key] = version
        with contextlib.suppress(OSError):
            _touch(path)
        return found

    def put(self, key: str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]):
        """Keep named tensors; what was under the key is replaced at once.

        Raises:
            DiskFull: it could not be written; nothing half-written is left under the key.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        plain = _separate(tensors)
        seal = _seal(key, plain, dict(metadata))
        part = self._folder / f"{key}.{secrets.token_hex(4)}.part"
        try:
            save_file(plain, part, {**metadata, SEAL: seal})
            _flush(part)
            os.replace(part, self._path(key))
            _flush(self._folder)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            if not writable(self._folder):
                raise refusal(self._folder) from error
            raise DiskFull(
                f"an array of {_bytes(plain) / 1e6:.0f} MB could not be written: {error}",
                remedy="free some disk space, or clear the cache",
            ) from error

    def has(self, key: str) -> bool:
        """Whether there is a file of that key."""
        return self._path(key).exists()

    def size(self) -> int:
        """Bytes on disk."""
        return sum(entry.size for entry in self._entries())

    def evict(self, limit_bytes: int, keep: str) -> None:
        """Remove files, least recently used first, until the rest fit in `limit_bytes`.

        The file of key `keep` stays in any case. Files used in the last `RECENT_SECONDS` go only
        when the limit cannot be held without: their turn comes last, as they are the newest.
        """
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        excess = sum(entry.size for entry in entries) - limit_bytes
        recent = 0
        for entry in entries:
            if excess <= 0:
                break
            if entry.path.stem == keep:
                continue
            with contextlib.suppress(OSError):
                entry.path.unlink()
                excess -= entry.size
                recent += entry.used > time.time() - RECENT_SECONDS
        if recent:
            self._note(
                f"{recent} array files used in the last {RECENT_SECONDS // 60} minutes had to go: "
                f"the limit of {limit_bytes / 1e9:.1f} GB is smaller than the work at hand"
            )

    def clear(self) -> None:
        """Remove all files, half-written ones too."""
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _entries(self) -> Iterator[_Entry]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as listing:
            for item in listing:
                with contextlib.suppress(FileNotFoundError):
                    status = item.stat(follow_symlinks=False)
                    yield _Entry(Path(item.path), status.st_size, status.st_atime)

    def _sweep(self) -> None:
        """Remove what killed writers left, and broken files that nobody came to look at."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):
                if path.suffix != SUFFIX and time.time() - path.lstat().st_mtime > PART_SECONDS:
                    path.unlink()


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    size: int
    used: float


def _load(path: Path, key: str, *, check: bool) -> Artifact:
    from safetensors import SafetensorError, safe_open

    if not stat.S_ISREG(path.lstat().st_mode):
        raise _corrupt("it is not a regular file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _corrupt(str(error)) from error
    seal = metadata.pop(SEAL, "")
    if check and seal != _seal(key, tensors, metadata):
        raise _corrupt("its seal does not fit its bytes")
    return Artifact(tensors, metadata)


def _seal(key: str, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> str:
    return digest(
        {
            "key": key,
            "metadata": metadata,
            "tensors": {
                name: [str(tensor.dtype), list(tensor.shape), _content(tensor)]
                for name, tensor in tensors.items()
            },
        }
    )


def _content(tensor: torch.Tensor) -> str:
    """SHA-256 of a contiguous tensor's bytes, without copying them."""
    import torch

    flat = tensor.reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()


def _separate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous CPU tensors, none of which shares memory with another."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        separate[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return separate


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _touch(path: Path) -> None:
    """Set the access time, which ranks; leave the modification time, which tells versions apart."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _version(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _corrupt(fact: str) -> CorruptEntry:
    return CorruptEntry(fact, remedy="it will be made again; clear the cache if this recurs")
