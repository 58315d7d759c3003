"""A cache that cannot be written serves what it holds, and says why it keeps nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import torch

from cache.digest import digest
from cache.store import Cache
from qcore.errors import DiskFull
from tests.report.helpers_hostile import read_only

KEY, OTHER = digest("one"), digest("other")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cache = Cache(tmp_path / "cache")
    cache.put_record(KEY, {"loss": 3.25})
    cache.put_artifact(KEY, {"x": torch.arange(4.0)})
    cache.close()
    return tmp_path


def test_what_is_there_is_served(root):
    with read_only(root):
        cache = Cache(root / "cache")
        assert cache.record(KEY) == {"loss": 3.25}
        found = cache.artifact(KEY)
        assert found is not None
        assert torch.equal(found.tensors["x"], torch.arange(4.0))
        assert cache.has(KEY)
        assert not cache.has(OTHER)
        assert cache.record(OTHER) is None
        assert cache.size() > 0
        cache.close()


def test_nothing_can_be_kept_and_the_reason_is_said(root):
    with read_only(root):
        cache = Cache(root / "cache")
        for keep in (
            lambda: cache.put_record(OTHER, 1),
            lambda: cache.put_artifact(OTHER, {"x": torch.zeros(1)}),
            cache.clear,
        ):
            with pytest.raises(DiskFull, match=r"cannot be written; make it writable"):
                keep()


def test_a_record_that_was_tampered_with_is_a_miss(root):
    with sqlite3.connect(root / "cache" / "records" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = replace(value, '3.25', '1.25')")
    database.close()
    with read_only(root):
        assert Cache(root / "cache").record(KEY) is None


def test_a_home_that_never_had_a_cache_has_an_empty_one(tmp_path):
    with read_only(tmp_path):
        cache = Cache(tmp_path / "cache")
        assert cache.record(KEY) is None
        assert cache.artifact(KEY) is None
        assert not cache.has(KEY)
        assert cache.size() == 0
        with pytest.raises(DiskFull, match="make it writable"):
            cache.put_record(KEY, 1)


def test_a_damaged_database_that_cannot_be_mended_is_a_miss(root):
    (root / "cache" / "records" / "cache.db").write_bytes(b"not a database" * 100)
    with read_only(root):
        assert Cache(root / "cache").record(KEY) is None
