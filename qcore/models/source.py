"""A ModelSource: which files a network is loaded from, and the digest of what they hold.

The digest is SHA-256 over the names and SHA-256s of config, tokenizer and weight files, so the same
checkpoint has the same digest from a folder and from the Hub. Hashing gigabytes takes seconds:
each file's hash is remembered with its path, inode, size, and times of modification and change
(the last of which no copying tool can set back).
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cache.digest import digest, digest_file
from qcore.errors import BrokenCheckpoint

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)

_MEMO = "digests.json"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The place a network comes from, and the digest of what is there.

    Attributes:
        kind: as in `ModelRef.source`.
        digest: SHA-256 over its files; 64 hexadecimal digits.
        folder: the files, in Hugging Face layout; the demo's folder exists once it was loaded.
        label: what to call the network, the baseline's caveat included.
        family: `Family.name`.
        revision: the Hub's commit; None elsewhere.
        notes: sentences that a reader of its results must know.
        context: tokens of the longest text that it was made for (`max_position_embeddings`); None
            where that is not known.
    """

    kind: Literal["demo", "folder", "hub", "suffix"]
    digest: str
    folder: Path
    label: str
    family: str
    revision: str | None = None
    notes: tuple[str, ...] = ()
    context: int | None = None


def digest_files(paths: Iterable[Path], root: Path) -> str:
    """One digest for the names and contents of `paths`; hashes are remembered under `root`.

    Raises:
        BrokenCheckpoint: a file cannot be read, or changes meanwhile.
    """
    memo = _read_memo(root)
    known = dict(memo)
    hashes = {path.name: _hash(path, known) for path in sorted(paths)}
    if known != memo:
        _write_memo(root, known)
    return digest(hashes)


def stamp(paths: Iterable[Path]) -> tuple[tuple[int, ...], ...]:
    """A stamp that changes when one of `paths` is written to or replaced; no file is opened.

    Raises:
        BrokenCheckpoint: a file is gone.
    """
    return tuple(tuple(_stamp(path)) for path in sorted(paths))


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _changed(path) from error
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _hash(path: Path, memo: dict[str, list[int | str]]) -> str:
    real = path.resolve()
    before = _stamp(real)
    kept = memo.get(str(real))
    if kept is not None and kept[:-1] == before:
        return str(kept[-1])
    try:
        found = digest_file(real)
    except OSError as error:
        raise BrokenCheckpoint(
            f"{path.name} cannot be read: {error.strerror}", remedy="check its permissions"
        ) from error
    if _stamp(real) != before:
        raise _changed(path)
    memo[str(real)] = [*before, found]
    return found


def _changed(path: Path) -> BrokenCheckpoint:
    return BrokenCheckpoint(
        f"{path.name} changed while it was read", remedy="try again once it is complete"
    )


def _read_memo(root: Path) -> dict[str, list[int | str]]:
    """Read the remembered hashes; empty when the file is missing or damaged: it only saves time."""
    try:
        found = json.loads((root / "models" / _MEMO).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(found, dict) and all(
        isinstance(row, list) and len(row) == 5 for row in found.values()
    )
    return found if sound else {}


def _write_memo(root: Path, memo: dict[str, list[int | str]]) -> None:
    # A full disk costs the memo, not the run: the next resolve hashes again.
    with contextlib.suppress(OSError):
        folder = models_folder(root)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, suffix=".part", delete=False
        ) as file:
            json.dump(memo, file)
        os.replace(file.name, folder / _MEMO)


def models_folder(root: Path) -> Path:
    """`root/models`, made with mode 0700 if it is not there."""
    folder = root / "models"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
