"""Values and arrays of the cache: right, or not there."""

from __future__ import annotations

from pathlib import Path

import torch

from cache.digest import digest
from cache.store import Cache

RECORDS = {digest(["record", index]): [index] * size for index, size in enumerate((3, 30_000, 9))}
ARRAYS = {digest(["array", index]): torch.arange(5_000.0) + index for index in range(3)}


def prepare(root: Path) -> None:
    """An empty cache with one array that will be written anew."""
    store = Cache(root, 1 << 30)
    store.put_artifact(next(iter(ARRAYS)), {"x": torch.zeros(3)})
    store.close()


def act(root: Path) -> None:
    """Write all of them."""
    store = Cache(root, 1 << 30)
    for key, value in RECORDS.items():
        store.put_record(key, value)
    for key, tensor in ARRAYS.items():
        store.put_artifact(key, {"x": tensor})
    store.close()


def check(root: Path) -> None:
    """What is there is what was written."""
    store = Cache(root, 1 << 30)
    for key, value in RECORDS.items():
        assert store.record(key) in (None, value)
    for index, (key, tensor) in enumerate(ARRAYS.items()):
        kept = store.artifact(key)
        if index == 0:
            assert kept is not None, "the old array or the new one, never none"
            assert kept.tensors["x"].numel() == 3 or kept.tensors["x"].equal(tensor)
        else:
            assert kept is None or kept.tensors["x"].equal(tensor)
    assert not store.problems, store.problems
    store.close()


def finished(root: Path) -> None:
    """All is there."""
    store = Cache(root, 1 << 30)
    assert all(store.record(key) == value for key, value in RECORDS.items())
    for key, tensor in ARRAYS.items():
        kept = store.artifact(key)
        assert kept is not None
        assert kept.tensors["x"].equal(tensor)
    assert not store.problems, store.problems
    store.close()
