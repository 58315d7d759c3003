"""Records: right values or none, whatever happened to the file."""

import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import diskcache
import pytest

import cache.records
from cache.digest import digest
from cache.records import Records, TextDisk
from cache.store import Cache
from qcore.errors import CacheError, CorruptEntry, DiskFull
from tests.spoilt_databases import HEADERS, NO_TEXT, rename_to_no_text, spoil_header

KEY = digest("a")
OTHER = digest("b")


@pytest.fixture
def store(tmp_path: Path):
    cache = Cache(tmp_path / "cache", 1 << 30)
    yield cache
    cache.close()


def edit(store: Cache, statement: str, *values: object) -> None:
    store.close()
    connection = sqlite3.connect(store.root / "records" / "cache.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


class Bomb:
    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize(
    "value", [0, 2.0, 1.5e-300, "", "naïve ✓", [], [1, [2.5, None]], {"a": {"b": True}}, False]
)
def test_a_record_comes_back_as_it_was_with_its_types(store: Cache, value: object) -> None:
    store.put_record(KEY, value)
    found = store.record(KEY)
    assert found == value
    assert repr(found) == repr(value)


def test_records_survive_reopening_and_are_seen_by_other_caches(store: Cache) -> None:
    other = Cache(store.root, 1 << 30)
    store.put_record(KEY, {"loss": 3.25})
    assert other.record(KEY) == {"loss": 3.25}
    assert other.has(KEY)
    assert not other.has(OTHER)
    assert other.record(OTHER) is None
    other.close()


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), None])
def test_what_json_has_no_word_for_is_refused(store: Cache, value: object) -> None:
    with pytest.raises(TypeError):
        store.put_record(KEY, value)
    assert not store.has(KEY)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(store: Cache, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.put_record(KEY, value)


@pytest.mark.parametrize("key", ["", "abc", KEY.upper(), KEY + "\n", "../" + KEY[3:], 7, None])
def test_a_key_that_is_no_digest_is_refused(store: Cache, key: object) -> None:
    for use in (store.record, store.artifact, store.has):
        with pytest.raises(CacheError, match="64 hexadecimal digits"):
            use(key)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CacheError):
        store.put_record(key, 1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CacheError):
        store.put_artifact(key, {})  # pyright: ignore[reportArgumentType]


def test_folders_are_private(store: Cache) -> None:
    for folder in (store.root, store.root / "records", store.root / "arrays"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_planted_pickle_value_does_not_run(store: Cache, tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    store.put_record(KEY, 1)
    edit(store, "UPDATE Cache SET mode = ?, value = ?", diskcache.core.MODE_PICKLE, bomb)
    assert store.record(KEY) is None
    assert not (tmp_path / "ran").exists()
    assert "mode is 4" in store.problems[-1]
    assert not store.has(KEY)


def test_a_planted_pickle_key_does_not_run(store: Cache, tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    store.put_record(KEY, 1)
    edit(store, "UPDATE Cache SET raw = 0, key = ?", bomb)
    assert store.record(KEY) is None
    database = diskcache.Cache(str(store.root / "records"), disk=TextDisk)
    with pytest.raises(CorruptEntry):
        list(database)
    database.close()
    assert not (tmp_path / "ran").exists()


def test_a_row_cannot_make_us_read_or_remove_a_file(store: Cache, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    store.put_record(KEY, 1)
    edit(
        store,
        "UPDATE Cache SET mode = ?, filename = ?, value = NULL",
        diskcache.core.MODE_TEXT,
        str(secret),
    )
    assert store.record(KEY) is None
    store.put_record(KEY, 2)
    store.clear()
    assert secret.read_text() == "mine"


def test_a_damaged_row_is_a_miss_and_can_be_written_again(store: Cache) -> None:
    store.put_record(KEY, [1.25])
    edit(store, "UPDATE Cache SET value = replace(value, '1.25', '1.75')")
    assert store.record(KEY) is None
    assert "seal" in store.problems[-1]
    store.put_record(KEY, [1.25])
    assert store.record(KEY) == [1.25]


def test_a_row_moved_to_another_key_is_a_miss(store: Cache) -> None:
    store.put_record(KEY, "of a")
    edit(store, "UPDATE Cache SET key = ?", OTHER)
    assert store.record(OTHER) is None


def test_a_row_that_is_not_text_is_a_miss(store: Cache) -> None:
    store.put_record(KEY, 1)
    edit(store, "UPDATE Cache SET value = CAST(X'FF00FE' AS TEXT)")
    assert store.record(KEY) is None
    store.put_record(KEY, 1)
    assert store.record(KEY) == 1


@pytest.mark.parametrize("damage", [b"not a database at all" * 400, b""])
def test_a_damaged_database_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    with_record = Cache(tmp_path, 1 << 30)
    with_record.put_record(KEY, 1)
    with_record.close()
    (tmp_path / "records" / "cache.db").write_bytes(damage)
    store = Cache(tmp_path, 1 << 30)
    assert store.record(KEY) is None
    store.put_record(KEY, 2)
    assert store.record(KEY) == 2
    if damage:
        assert "lies aside" in store.problems[0]
        assert (tmp_path / "records" / "cache.db.broken").read_bytes() == damage
    store.close()


POISON = [
    "UPDATE Settings SET value = 'many' WHERE key = 'size_limit'",
    "UPDATE Settings SET value = x'00' WHERE key = 'count'",
    "INSERT INTO Settings VALUES ('disk_evil', 1)",
    "INSERT INTO Settings VALUES ('sqlite_writable_schema', 1)",
    "INSERT INTO Settings VALUES ('eviction_policy2', 'none')",
    "ALTER TABLE Settings RENAME COLUMN value TO worth",
    "ALTER TABLE Cache RENAME COLUMN mode TO mood",
    "DROP TABLE Settings",
    "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'no'); END",
]


@pytest.mark.parametrize("statement", POISON)
def test_a_database_with_settings_or_columns_of_others_is_set_aside(
    store: Cache, statement: str
) -> None:
    store.put_record(KEY, 1)
    edit(store, statement)
    again = Cache(store.root, 1 << 30)
    assert again.record(KEY) is None
    assert any("lies aside" in problem for problem in again.problems)
    again.put_record(KEY, 2)
    assert again.record(KEY) == 2
    assert Cache(store.root, 1 << 30).record(KEY) == 2
    again.close()


@pytest.mark.parametrize("column", ["key", "value", "mode", "filename", "raw", "tag"])
def test_bytes_that_are_no_text_are_a_miss_that_can_be_written_again(
    store: Cache, column: str
) -> None:
    store.put_record(KEY, 1)
    edit(store, f"UPDATE Cache SET {column} = {NO_TEXT}")
    assert store.record(KEY) is None
    store.put_record(KEY, 2)
    assert store.record(KEY) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        *(lambda path, how=how: spoil_header(path, how) for how in HEADERS),
        lambda path: rename_to_no_text(path, "Cache"),
    ],
    ids=[*HEADERS, "a table's name"],
)
def test_a_spoilt_header_is_set_aside_and_no_full_disk(
    store: Cache, spoil: Callable[[Path], None]
) -> None:
    store.put_record(KEY, 1)
    store.close()
    spoil(store.root / "records" / "cache.db")
    again = Cache(store.root, 1 << 30)
    assert again.record(KEY) is None
    again.put_record(KEY, 2)
    assert again.record(KEY) == 2
    assert any("lies aside" in problem for problem in again.problems)
    again.close()


def test_a_pragma_in_the_settings_does_not_run(store: Cache) -> None:
    edit(store, "INSERT INTO Settings VALUES ('sqlite_user_version', 7)")
    Cache(store.root, 1 << 30).close()
    for path in (store.root / "records").glob("cache.db*"):
        if path.suffix in (".db", ".broken"):
            with sqlite3.connect(path) as connection:
                assert connection.execute("PRAGMA user_version").fetchone() == (0,)


def test_damage_under_an_open_cache_is_healed(store: Cache) -> None:
    for index in range(300):
        store.put_record(digest(index), "x" * 200)
    store.close()
    path = store.root / "records" / "cache.db"
    with path.open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(path.stat().st_size))
    assert store.record(digest(1)) is None
    store.put_record(KEY, 5)
    assert store.record(KEY) == 5


def test_a_full_database_is_disk_full_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = cache.records._SETTINGS | {"sqlite_max_page_count": 40}
    monkeypatch.setattr(cache.records, "_SETTINGS", limited)
    store = Cache(tmp_path, 1 << 30)
    store.put_record(KEY, "small")
    with pytest.raises(DiskFull, match="free some disk space"):
        store.put_record(OTHER, "x" * 1_000_000)
    assert store.record(KEY) == "small"
    assert store.record(OTHER) is None
    store.put_record(OTHER, "small too")
    assert store.record(OTHER) == "small too"
    store.close()


def test_least_recently_used_records_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1e9]
    monkeypatch.setattr("time.time", lambda: clock[0])
    problems: list[str] = []
    records = Records(tmp_path, 1_000_000, problems.append)
    for index in range(400):
        clock[0] += cache.records.REFRESH_SECONDS
        records.put(digest(index), "x" * 4000)
        assert records.get(digest(0)) is not None, "the record in use was evicted"
    assert not records.has(digest(1))
    assert records.has(digest(399))
    assert problems == []
    records.close()
