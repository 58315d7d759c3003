"""Files that were spoilt at random: whatever stands in them, the answer is right or a sentence.

Each round takes a healthy file, changes some bytes (flipped, cut out, doubled, cut short, or words
that parsers stumble over put in), and reads it as Quantscope would. Seeds are fixed, and another
campaign than the suite's: bytes of any file, not values of one schema.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from cache.digest import digest
from cache.store import Cache
from qcore.calibration.text import text_digest
from qcore.errors import CorruptEntry, DataError, InvalidRecipe, ModelError, QuantscopeError
from qcore.jobs import events
from qcore.jobs.local.table import Table
from qcore.models.loading import load, resolve
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.report.summary import read_summary
from qcore.serialization import parse_json
from tests.models.folders import ref, write_folder
from tests.report.factories import report_of
from tests.soak.outcome import Outcome

ROUNDS = 300
MODEL_ROUNDS = 60
SLOW_SECONDS = 20.0
LONGEST = 3000
"""Characters of a message."""
PIECES = (
    b"null",
    b"[]",
    b"{}",
    b"-",
    b"1e999",
    b"9" * 400,
    b'"',
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"[" * 2000,
    b"true",
    b"-0",
    b"../",
    b"\x1b[31m",
)


def run(folder: Path, long: bool) -> Outcome:
    """Every kind of file, one after the other."""
    outcome = Outcome("spoilt files")
    for name, (healthy, read) in kinds(folder).items():
        chance = random.Random(name)
        path, data = healthy
        refused = 0
        rounds = (MODEL_ROUNDS if name.startswith("model") else ROUNDS) * (10 if long else 1)
        for index in range(rounds):
            path.write_bytes(spoilt(data, chance))
            start = time.monotonic()
            try:
                read()
            except (AssertionError, Exception) as error:
                if not isinstance(error, QuantscopeError):
                    outcome.failed.append(f"{name} {index}: {type(error).__name__}: {error}"[:300])
                refused += 1
                long = len(str(error)) > LONGEST
                outcome.expect(not long, f"{name} {index}: a message of {len(str(error))}")
            took = time.monotonic() - start
            outcome.expect(took < SLOW_SECONDS, f"{name} {index}: took {took:.0f} s")
            outcome.count += 1
        path.write_bytes(data)
        read()  # it was healthy, and nothing that was read before has changed that
        outcome.numbers[name] = f"{refused} of {rounds} refused"
    return outcome


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """The data with one to four changes, most of them near its beginning."""
    for _ in range(chance.randint(1, 4)):
        end = len(data) if chance.random() < 0.5 else min(len(data), 400)
        at = chance.randrange(max(end, 1))
        put = chance.choice((b"", bytes([chance.randrange(256)]), *PIECES, data[at : at + 40]))
        length = chance.choice((0, 1, 1, 4, 30, len(put), len(put)))
        data = data[:at] + put + data[at + length :]
        if chance.random() < 0.05:
            data = data[:at]
    return data


Kind = tuple[tuple[Path, bytes], Callable[[], object]]


def kinds(folder: Path) -> dict[str, Kind]:
    """Name → (a healthy file and its bytes, how it is read)."""
    found: dict[str, Kind] = {}

    def add(name: str, path: Path, read: Callable[[], object]) -> None:
        found[name] = (path, path.read_bytes()), read

    sweep = folder / "sweep.json"
    sweep.write_text(Recipe().to_json().replace('"seed":0', '"seed":[0,1]'))
    add("recipe or sweep", sweep, partial(_sweep, sweep))
    text = folder / "text.txt"
    text.write_text("é and more words " * 50, encoding="utf-8")
    add("text", text, partial(_told, partial(text_digest, f"file:{text}"), DataError))
    home = folder / "home"
    library = Library(home)
    kept = [library.add(report_of(Recipe(seed=seed))) for seed in range(3)]
    Index(library).refresh()
    report = home / "reports" / f"{kept[0].id}.json"
    add("report", report, partial(_told, partial(library.read, kept[0].id), CorruptEntry))
    add("index of reports", home / "index.jsonl", partial(_index, library))
    said = home / "events.jsonl"
    for step in range(20):
        events.append(said, Event("load", step, 20, "é", time=float(step)))
    add("events", said, partial(events.read, said))
    queue = folder / "queue" / "queue.sqlite"
    table = Table(queue)
    table.add([Recipe(seed=seed) for seed in range(3)])
    table.close()
    add("queue", whole(queue), partial(_queue, queue))
    Labels(home).change([report.id for report in kept], name="é", add_tags=["talk"])
    add("labels", whole(home / "labels.sqlite"), partial(_labels, home))
    store = Cache(folder / "cache")
    key = digest("kept")
    store.put_artifact(key, {"x": torch.arange(40.0)}, {"a": "b"})
    store.put_record(key, ["é", 1.5])
    store.close()
    add("array of the cache", store.root / "arrays" / f"{key}.safetensors", partial(_array, store))
    add("records of the cache", whole(store.root / "records/cache.db"), partial(_record, store))
    model = write_folder(folder / "model")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        add(f"model: {name}", model / name, partial(_model, model, folder / "models"))
    return found


def _told(read: Callable[[], object], kind: type[QuantscopeError]) -> None:
    try:
        read()
    except kind:
        raise
    except QuantscopeError as error:
        raise TypeError(f"{type(error).__name__} in place of {kind.__name__}") from error


def _sweep(path: Path) -> None:
    _told(lambda: expand(parse_json(path.read_text("utf-8", "surrogateescape"))), InvalidRecipe)


def _index(library: Library) -> None:
    index = Index(library)
    index.refresh()
    right = {name: read_summary(library, name) for name in library.ids()}
    assert {summary.id: summary for summary in index.summaries()} == right, "a wrong summary"


def whole(database: Path) -> Path:
    """The SQLite file, with all that was written to it in the one file."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return database


def alone(database: Path) -> None:
    """Remove what belonged to the database as it was before."""
    for leftover in database.parent.glob(f"{database.name}[-.]*"):
        leftover.unlink()


def _queue(path: Path) -> None:
    alone(path)
    table = Table(path)
    try:
        table.jobs(10)
        table.running()
        table.add([Recipe(seed=9)])
        table.ask_cancel("id = ?", "a" * 12)
    finally:
        table.close()


def _labels(home: Path) -> None:
    alone(home / "labels.sqlite")
    said = Labels(home)
    for run in list(said.all())[:1]:
        said.change([run], note="another")


def _record(store: Cache) -> None:
    alone(store.root / "records/cache.db")
    again = Cache(store.root)
    try:
        kept = again.record(digest("kept"))
        again.put_record(digest("other"), 1)
    finally:
        again.close()
    assert kept in (None, ["é", 1.5]), "a wrong record"
    if kept is None:
        raise CorruptEntry("a miss", remedy="none is needed")


def _array(store: Cache) -> None:
    again = Cache(store.root)
    kept = again.artifact(digest("kept"))
    again.close()
    assert kept is None or kept.tensors["x"].equal(torch.arange(40.0)), "a wrong array"
    if kept is None:
        raise CorruptEntry("a miss", remedy="none is needed")


def _model(model: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    _told(lambda: load(resolve(ref(model), root), root), ModelError)
