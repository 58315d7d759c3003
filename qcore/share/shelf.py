"""A cache, and behind it what bundles brought: where pages look, and the engine never does.

A stage that the engine computes is answered by the cache alone, so nothing that came from elsewhere
can pass for something that was computed here.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from cache.artifacts import Artifact
from cache.store import Outcomes
from qcore.errors import QuantscopeError
from qcore.report.files import read_bytes
from qcore.report.imported import ARRAYS, RECORDS, Imports
from qcore.serialization import parse_json
from qcore.share.archive import LARGEST_MEMBER
from qcore.share.intake import KEYS


class Carried:
    """What imports brought beside Reports; read once, and anew when one comes or goes.

    Any number of threads may share it.
    """

    def __init__(self, imports: Imports):
        self._imports = imports
        self._lock = threading.Lock()
        self._read_at: int | None = None
        self._records: dict[str, Any] = {}
        self._scores: dict[str, tuple[Path, int]] = {}
        self._blocks: set[str] = set()

    def record(self, key: str) -> Any:
        """The JSON value under `key`, or None."""
        self._look()
        return self._records.get(key)

    def artifact(self, key: str) -> Artifact | None:
        """The named tensors under `key`, or None."""
        self._look()
        place = self._scores.get(key)
        return None if place is None else _window(*place)

    def has(self, key: str) -> bool:
        """Whether a record or an artifact lies under `key`, or measures of that block."""
        self._look()
        return key in self._records or key in self._scores or key in self._blocks

    def _look(self) -> None:
        now = self._imports.stamp()
        with self._lock:
            if now == self._read_at:
                return
            records: dict[str, Any] = {}
            scores: dict[str, tuple[Path, int]] = {}
            blocks: set[str] = set()
            for origin in self._imports.origins():
                folder = self._imports.folder / origin.bundle
                for key, value in _object(folder / RECORDS).items():
                    records.setdefault(key, value)
                keys = _object(folder / KEYS)
                blocks.update(keys.get("blocks", ()))
                for key, (run, window) in keys.get("scores", {}).items():
                    scores.setdefault(key, (folder / ARRAYS / f"{run}.safetensors", window))
            self._records, self._scores, self._blocks = records, scores, blocks
            self._read_at = now


class Shelf:
    """The outcomes of stages, to be looked at.

    Args:
        cache: asked first.
        carried: what imports of the same home brought.
    """

    def __init__(self, cache: Outcomes, carried: Carried):
        self._cache = cache
        self._carried = carried

    def record(self, key: str) -> Any:
        """The JSON value under `key`, or None."""
        found = self._cache.record(key)
        return self._carried.record(key) if found is None else found

    def put_record(self, key: str, value: Any) -> None:
        """Keep a JSON value in the cache. Raises DiskFull."""
        self._cache.put_record(key, value)

    def artifact(self, key: str) -> Artifact | None:
        """The named tensors under `key`, or None."""
        found = self._cache.artifact(key)
        return self._carried.artifact(key) if found is None else found

    def has(self, key: str) -> bool:
        """Whether a record or an artifact lies under `key`, or measures of that block."""
        return self._cache.has(key) or self._carried.has(key)


def _object(path: Path) -> dict[str, Any]:
    with contextlib.suppress(QuantscopeError, OSError, UnicodeDecodeError):
        found = parse_json(read_bytes(path, LARGEST_MEMBER).decode())
        return found if isinstance(found, dict) else {}
    return {}


def _window(path: Path, window: int) -> Artifact | None:
    from safetensors import SafetensorError, safe_open

    with contextlib.suppress(OSError, SafetensorError), safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.partition(".")[0] == str(window)]  # noqa: SIM118
        return Artifact({name.partition(".")[2]: file.get_tensor(name) for name in names}, {})
    return None
