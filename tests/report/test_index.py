"""The index reads each Report once, in memory and over restarts, and leaves out what is none."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qcore.recipe import Recipe
from qcore.report import index as index_module
from qcore.report import kept
from qcore.report.index import Index
from qcore.report.kept import FILE, KeptSummaries
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.report.summary import Summary
from tests.report.factories import report_of
from tests.report.helpers_hostile import HOSTILE, as_nobody, hostile, read_only


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the Reports whose files are read from now on."""
    names: list[str] = []
    whole = Library.read

    def counted(library: Library, name: str) -> Report:
        names.append(name)
        return whole(library, name)

    monkeypatch.setattr(Library, "read", counted)
    return names


def filled(library: Library, count: int) -> list[Report]:
    """Reports of that many seeds, each a second newer than the last."""
    made = [report_of(Recipe(seed=seed), created=1e9 + seed) for seed in range(count)]
    for report in made:
        library.add(report)
    return made


def ids(index: Index) -> list[str]:
    return [run.id for run in index.summaries()]


def test_each_report_is_read_once_and_what_comes_and_goes_is_noticed(library, read):
    first, second = filled(library, 2)
    index = Index(library)
    assert ids(index) == ids(index) == [second.id, first.id]
    assert index.ready
    stamp = index.stamp
    third = library.add(report_of(Recipe(seed=7), created=2e9))
    assert ids(index) == [third.id, second.id, first.id]
    assert index.stamp > stamp
    library.remove(first.id)
    assert ids(index) == [third.id, second.id]
    assert sorted(read) == sorted([first.id, second.id, third.id])


def test_a_settled_folder_is_neither_listed_nor_read_again(library, read, monkeypatch):
    filled(library, 2)
    monkeypatch.setattr(index_module, "TICK_NS", 0)
    index = Index(library)
    index.refresh()
    monkeypatch.setattr(library, "marks", lambda: pytest.fail("the folder was listed again"))
    stamp = index.stamp
    for _ in range(3):
        assert len(index.summaries()) == 2
    assert index.stamp == stamp
    assert len(read) == 2


def test_a_restart_reads_no_report_that_was_summed_up_before(library, read):
    made = filled(library, 3)
    before = Index(library).summaries()
    del read[:]
    again = Index(library)
    assert again.summaries() == before == tuple(Summary.of(r) for r in reversed(made))
    assert read == []


def test_a_report_that_was_rewritten_is_read_again(library, tmp_path, read):
    (report,) = filled(library, 1)
    Index(library).refresh()
    path = tmp_path / "reports" / f"{report.id}.json"
    other = dataclasses.replace(report, notes=("another", "two"))
    path.write_text(other.to_json())
    del read[:]
    (run,) = Index(library).summaries()
    assert (run.notes, read) == (2, [report.id])


@pytest.mark.timeout(60)
def test_whatever_lies_in_the_folder_all_other_runs_are_listed(library, tmp_path):
    (report,) = filled(library, 1)
    for number, kind in enumerate(HOSTILE):
        hostile(tmp_path / "reports" / f"{number:016x}.json", kind)
    index = Index(library)
    index.refresh()
    assert ids(index) == [report.id]
    assert [item.name for item in index.problems] == [
        f"{number:016x}.json" for number in range(len(HOSTILE))
    ]
    assert all("; " in item.sentence and len(item.sentence) < 500 for item in index.problems)


def test_a_problem_that_was_mended_is_a_run_again(library, tmp_path):
    (report,) = filled(library, 1)
    path = tmp_path / "reports" / f"{report.id}.json"
    with as_nobody(tmp_path):
        path.chmod(0)
        index = Index(library)
        assert index.summaries() == ()
        assert "permission denied; make it readable" in index.problems[0].sentence
        path.chmod(0o600)
        library.add(report_of(Recipe(seed=9)))  # the folder changes
        assert report.id in ids(index)
    assert index.problems == ()


def test_a_folder_that_cannot_be_listed_is_one_problem(library, tmp_path):
    filled(library, 1)
    with as_nobody(tmp_path):
        (tmp_path / "reports").chmod(0)
        index = Index(library)
        try:
            assert index.summaries() == ()
            assert "cannot be read: Permission denied" in index.problems[0].sentence
        finally:
            (tmp_path / "reports").chmod(0o700)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replaced_by(kind: str):
    def replace(path: Path) -> None:
        path.unlink()
        hostile(path, kind)

    return replace


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flipped,
        lambda path: path.write_bytes(b"\xff" * 1000),
        lambda path: path.unlink(),
        *map(
            _replaced_by, ("a folder", "a named pipe", "a link to endless zeros", "nothing at all")
        ),
    ],
)
def test_a_damaged_index_costs_time_and_nothing_else(library, tmp_path, damage):
    made = filled(library, 3)
    before = Index(library).summaries()
    damage(tmp_path / FILE)
    for _ in range(2):  # the second after whatever the first has healed
        assert Index(library).summaries() == before
    assert len(before) == len(made)


def test_the_index_of_another_version_is_ignored(library, read, monkeypatch):
    filled(library, 2)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "VERSION", kept.VERSION + 1)
        Index(library).refresh()
    del read[:]
    assert len(Index(library).summaries()) == 2
    assert len(read) == 2


def test_processes_that_write_the_index_at_once_lose_no_line(library, tmp_path):
    made = filled(library, 40)
    marks = library.marks()
    rows = {r.id: (marks[r.id], Summary.of(r)) for r in made}
    writer = KeptSummaries(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: writer.add({name: rows[name]}), rows))
    assert KeptSummaries(tmp_path).read(marks).keys() == rows.keys()


def test_an_index_of_stale_lines_is_written_anew(library, tmp_path):
    (report,) = filled(library, 1)
    marks = library.marks()
    writer = KeptSummaries(tmp_path)
    for _ in range(300):
        writer.add({report.id: (marks[report.id], Summary.of(report))})
    before = (tmp_path / FILE).stat().st_size
    assert writer.read(marks).keys() == {report.id}
    assert (tmp_path / FILE).stat().st_size < before / 100
    assert writer.read(marks).keys() == {report.id}


def test_while_much_is_read_what_is_known_is_shown(library, monkeypatch):
    made = filled(library, 6)
    monkeypatch.setattr(index_module, "FEW", 2)
    monkeypatch.setattr(index_module, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(index_module, "_REFRESHED_SECONDS", 0.0)
    go_on = threading.Semaphore(2)
    whole = Library.read

    def slowly(self: Library, name: str) -> Report:
        assert go_on.acquire(timeout=30)
        return whole(self, name)

    monkeypatch.setattr(Library, "read", slowly)
    index = Index(library)
    until(lambda: len(index.summaries()) == 2)
    assert not index.ready
    assert index.progress == (2, 6)
    stamp = index.stamp
    go_on.release(6)
    until(lambda: index.ready)
    assert len(index.summaries()) == len(made)
    assert index.stamp > stamp


def until(holds) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_threads_share_one_reading(library, read):
    made = filled(library, 12)
    index = Index(library)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: len(index.summaries()), range(32)))
    assert set(answers) == {len(made)}
    assert len(read) == len(made)


def test_a_home_that_cannot_be_written_is_indexed_in_memory(library, tmp_path):
    made = filled(library, 2)
    with read_only(tmp_path):
        assert len(Index(Library(tmp_path)).summaries()) == len(made)
    assert not (tmp_path / FILE).exists()


def test_the_index_stands_where_it_does_not_disturb_the_folders_stamp(library, tmp_path):
    filled(library, 1)
    stamp = library.stamp()
    Index(library).refresh()
    assert (tmp_path / FILE).is_file()
    assert library.stamp() == stamp
    assert os.stat(tmp_path / FILE).st_mode & 0o077 == 0
