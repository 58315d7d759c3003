"""The cache: what a stage made, by the digest of everything that decided it.

    cache/
    ├── records/    JSON values, in one SQLite file (`cache.records`)
    └── arrays/     tensors, one safetensors file per key (`cache.artifacts`)

It is a cache: it may be deleted at any time, it serves the right value or none, and losing it
costs time only. Damage is a miss and a line in `problems`; the one error that reaches the caller
is `DiskFull`. Any number of processes may share it, and any of them may be killed at any moment.

One limit covers both kinds. Records are small and hold what is dearest per byte, the evaluated
losses, so they own a fixed share of it; arrays get the rest. Both go least recently used first.
"""

from __future__ import annotations

import logging
import re
import stat
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cache.artifacts import Artifact, Artifacts
from cache.records import Records
from cache.unwritable import NO_WRITING
from qcore.errors import CacheError, DiskFull

if TYPE_CHECKING:
    import torch

DEFAULT_LIMIT_BYTES = 20 << 30
RECORDS_SHARE = 8
"""Records may take one part in so many of the limit."""
_KEY = re.compile(r"[0-9a-f]{64}")
_LOG = logging.getLogger(__name__)


class Outcomes(Protocol):
    """What a stage's outcomes are looked up in: a cache, or a cache and what was imported."""

    def record(self, key: str) -> Any:
        """The JSON value under `key`, or None."""

    def put_record(self, key: str, value: Any) -> None:
        """Keep a JSON value."""

    def artifact(self, key: str) -> Artifact | None:
        """The named tensors under `key`, or None."""

    def has(self, key: str) -> bool:
        """Whether a record or an artifact lies under `key`."""
        ...


class Cache:
    """Records and artifacts under `root`.

    Args:
        root: the cache's own folder; made, and made private to its user.
        limit_bytes: what both kinds together may take.

    Attributes:
        problems: the newest sentences about damage that was met and healed.

    Raises:
        DiskFull: the folder cannot be made. One that cannot be written serves what it holds.
    """

    def __init__(self, root: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES):
        self.root = root
        self.limit_bytes = limit_bytes
        self.problems: deque[str] = deque(maxlen=100)
        for folder in (root, root / "records", root / "arrays"):
            _make_private(folder)
        self._records = Records(root / "records", limit_bytes // RECORDS_SHARE, self._note)
        self._artifacts = Artifacts(root / "arrays", self._note)

    def record(self, key: str) -> Any:
        """The JSON value under `key`, or None."""
        return self._records.get(_checked(key))

    def put_record(self, key: str, value: Any) -> None:
        """Keep a JSON value; lists come back as lists, and None cannot be kept.

        Raises:
            TypeError: not a JSON value.
            ValueError: NaN or an infinity, for which JSON has no word.
            DiskFull: it could not be written.
        """
        if value is None:
            raise TypeError("None cannot be kept: it means that there is no record")
        self._records.put(_checked(key), value)

    def artifact(self, key: str) -> Artifact | None:
        """The named tensors under `key`, mapped from their file, or None."""
        return self._artifacts.get(_checked(key))

    def put_artifact(
        self,
        key: str,
        tensors: Mapping[str, torch.Tensor],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Keep named tensors, then hold the limit.

        Raises:
            DiskFull: it could not be written; nothing half-written is left.
        """
        self._artifacts.put(_checked(key), tensors, metadata or {})
        self._artifacts.evict(max(0, self.limit_bytes - self._records.volume()), keep=key)

    def has(self, key: str) -> bool:
        """Whether a record or an artifact lies under `key`; it may still prove damaged."""
        return self._records.has(_checked(key)) or self._artifacts.has(key)

    def size(self) -> int:
        """Bytes on disk."""
        return self._records.volume() + self._artifacts.size()

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._artifacts.clear()

    def close(self) -> None:
        """Close this thread's connection to the records; the next use opens it again."""
        self._records.close()

    def _note(self, problem: str) -> None:
        self.problems.append(problem)
        _LOG.warning(problem)


def _checked(key: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise CacheError(
            f"{str(key)[:40]!r} is no cache key", remedy="use a SHA-256 of 64 hexadecimal digits"
        )
    return key


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077:  # it may have been there before
            folder.chmod(mode & 0o700)
    except OSError as error:
        if error.errno in NO_WRITING:
            return  # what is there can still be read
        raise DiskFull(
            f"the cache's folder {folder} cannot be made: {error.strerror}",
            remedy="set QUANTSCOPE_HOME to a folder that you can write to",
        ) from error
