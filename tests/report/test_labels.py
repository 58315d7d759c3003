"""Names, tags, notes, pins: bounded, shared, and never in a Report's way."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe
from qcore.recipe import Recipe
from qcore.report.deletion import KEPT_SECONDS, Deletion
from qcore.report.index import Index
from qcore.report.labels import FILE, LONGEST_NAME, LONGEST_NOTE, MOST_TAGS, NOTHING, Labels
from qcore.report.library import Library
from tests.report.factories import report_of
from tests.spoilt_databases import HEADERS, NO_TEXT, spoil_header

A, B = "a" * 16, "b" * 16


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(tmp_path)


def test_what_was_said_of_a_run_is_there_after_a_restart(labels: Labels, tmp_path: Path) -> None:
    labels.change([A], name="for the talk", note="one\ntwo", add_tags=["talk", "int4"], pinned=True)
    found = Labels(tmp_path).of(A)
    assert (found.name, found.note, found.tags) == ("for the talk", "one\ntwo", ("int4", "talk"))
    assert found.pinned
    assert not found.archived


def test_a_run_of_which_nothing_is_said_has_no_row(labels: Labels) -> None:
    labels.change([A], name="x", add_tags=["t"])
    labels.change([A], name="", remove_tags=["t"])
    assert A not in labels.all()
    assert labels.of(A) == NOTHING


def test_reading_makes_no_file(labels: Labels, tmp_path: Path) -> None:
    assert labels.all() == {}
    assert labels.choice("columns") is None
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"name": "x" * 10_000}, "10,000 characters is longer than 100"),
        ({"note": "x" * 10_000}, "10,000 characters is longer than 4,000"),
        ({"add_tags": ["x" * 41]}, "41 characters is longer than 40"),
        ({"add_tags": map(str, range(MOST_TAGS + 1))}, "21 tags, more than 20"),
    ],
)
def test_what_is_too_long_is_refused_with_its_number_and_changes_nothing(
    labels: Labels, said: dict, words: str
) -> None:
    labels.change([A], name="before")
    with pytest.raises(InvalidRecipe, match=words):
        labels.change([A], **said)
    assert labels.of(A).name == "before"


def test_marks_that_turn_the_direction_and_controls_are_not_kept(labels: Labels) -> None:
    labels.change(
        [A], name="a\u202eb\x00c\nd\u200fe", note="x\u2066y\r\nz\ud800", add_tags=["\u200bt"]
    )
    found = labels.of(A)
    assert (found.name, found.note, found.tags) == ("abc de", "xy\nz", ("t",))


def test_letters_that_run_from_right_to_left_and_markup_stay(labels: Labels) -> None:
    labels.change([A], name="<b>שלום</b> **x** =1+1")
    assert labels.of(A).name == "<b>שלום</b> **x** =1+1"


def test_a_row_that_somebody_else_wrote_is_bounded_when_it_is_read(
    labels: Labels, tmp_path: Path
) -> None:
    labels.change([A], name="x")
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(
            "UPDATE label SET name = ?, note = ?, tags = ?, baseline = 'x'",
            ("n" * 10_000 + "\u202e", b"blob", '[1, "ok", {"a": 2}]'),
        )
        file.execute("INSERT INTO label (run, name) VALUES ('../../etc', 'x')")
    file.close()
    assert list(labels.all()) == [A]
    found = labels.of(A)
    assert (len(found.name), found.note, found.tags) == (LONGEST_NAME, "", ("ok",))
    assert found.baseline == 0


@pytest.mark.parametrize("run", ["", "../" + "a" * 13, "A" * 16, "a" * 15])
def test_what_is_no_id_is_refused(labels: Labels, run: str) -> None:
    with pytest.raises(InvalidRecipe, match="is no report id"):
        labels.change([run], pinned=True)


def test_the_stamp_moves_when_another_process_says_something(
    labels: Labels, tmp_path: Path
) -> None:
    empty = labels.stamp
    labels.change([A], name="mine")
    before = labels.stamp
    assert before != empty
    assert labels.stamp == before
    Labels(tmp_path).change([A], add_tags=["theirs"])
    assert labels.stamp != before
    assert labels.of(A).tags == ("theirs",)


def test_tags_of_two_processes_at_once_all_stay(labels: Labels, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from qcore.report.labels import Labels\n"
        "for n in range(5): Labels(Path(sys.argv[1])).change([sys.argv[2]], add_tags=[f'p{n}'],"
        " remove_tags=[])"
    )
    root = Path(__file__).parents[2]
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), A], cwd=root)
    threads = [
        threading.Thread(target=labels.change, args=([A],), kwargs={"add_tags": [f"t{n}"]})
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait(60) == 0
    assert len(labels.of(A).tags) == 10


def test_a_file_that_is_no_database_is_said_and_left_as_it_is(
    labels: Labels, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(CorruptEntry, match=r"no file of labels: .*move it away"):
        labels.all()
    with pytest.raises(CorruptEntry):
        labels.change([A], name="x")
    assert labels.stamp
    (tmp_path / FILE).unlink()
    labels.change([A], name="x")
    assert labels.of(A).name == "x"


@pytest.mark.parametrize("column", ["run", "name", "note", "tags", "pinned", "baseline"])
def test_bytes_that_are_no_text_cost_no_other_runs_label(
    labels: Labels, tmp_path: Path, column: str
) -> None:
    labels.change([A, B], name="x")
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"UPDATE label SET {column} = {NO_TEXT} WHERE run = '{A}'")
    connection.close()
    again = Labels(tmp_path)
    assert again.of(B).name == "x"
    again.change([B], note="y")


@pytest.mark.parametrize("how", HEADERS)
def test_a_spoilt_header_is_damage_and_no_full_disk(
    labels: Labels, tmp_path: Path, how: str
) -> None:
    labels.change([A], name="x")
    del labels
    spoil_header(tmp_path / FILE, how)
    with pytest.raises(CorruptEntry, match=r"no file of labels: .*move it away"):
        Labels(tmp_path).change([A], name="y")


def test_a_link_in_the_place_of_the_file_is_not_followed(labels: Labels, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.sqlite"
    (tmp_path / FILE).symlink_to(elsewhere)
    with pytest.raises(CorruptEntry, match="a link"):
        labels.change([A], name="x")
    assert not elsewhere.exists()


def test_a_newer_version_is_refused_and_left_as_it_is(labels: Labels, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(CorruptEntry, match="version 99"):
        labels.all()


def test_the_newest_baseline_comes_first_and_only_among_the_asked(labels: Labels) -> None:
    labels.change([A], baseline=True)
    labels.change([B], baseline=True)
    assert labels.baselines([A, B]) == [B, A]
    assert labels.baselines([A]) == [A]
    labels.change([B], baseline=False)
    assert labels.baselines([A, B]) == [A]


def test_a_choice_is_kept(labels: Labels, tmp_path: Path) -> None:
    labels.choose("columns", ["title", "kl"])
    assert Labels(tmp_path).choice("columns") == ["title", "kl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(labels: Labels, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DiskFull, match="labels"):
            labels.change([A], name="x")
    finally:
        tmp_path.chmod(0o700)


# --- deleting ------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def deletion(library: Library, labels: Labels) -> Deletion:
    return Deletion(library, labels)


def test_a_deleted_run_comes_back_byte_for_byte_with_its_label(
    library: Library, labels: Labels, deletion: Deletion
) -> None:
    report = library.add(report_of(Recipe()))
    labels.change([report.id], name="keep me")
    index = Index(library)
    before = library.path(report.id).read_bytes()
    assert deletion.delete([report.id]) == [report.id]
    index.refresh()
    assert not index.summaries()
    assert deletion.restore([report.id]) == [report.id]
    index.refresh()
    assert [run.id for run in index.summaries()] == [report.id]
    assert library.path(report.id).read_bytes() == before
    assert labels.of(report.id).name == "keep me"


def test_what_is_finished_is_gone_with_its_label(
    library: Library, labels: Labels, deletion: Deletion
) -> None:
    report = library.add(report_of(Recipe()))
    labels.change([report.id], name="gone")
    deletion.delete([report.id])
    deletion.finish([report.id])
    assert deletion.restore([report.id]) == []
    assert labels.of(report.id) == NOTHING


def test_a_run_that_was_run_again_meanwhile_keeps_its_label(
    library: Library, labels: Labels, deletion: Deletion
) -> None:
    report = library.add(report_of(Recipe()))
    labels.change([report.id], name="kept")
    deletion.delete([report.id])
    library.add(report)
    deletion.finish([report.id])
    assert labels.of(report.id).name == "kept"
    assert library.has(report.id)


def test_what_nobody_brings_back_is_removed_after_a_day(
    library: Library, deletion: Deletion, tmp_path: Path
) -> None:
    report = library.add(report_of(Recipe()))
    deletion.delete([report.id])
    aside = tmp_path / "deleted" / f"{report.id}.json"
    deletion.sweep()
    assert aside.exists()
    old = aside.stat().st_mtime - KEPT_SECONDS - 1
    os.utime(aside, (old, old))
    deletion.sweep()
    assert not aside.exists()


def test_nothing_outside_the_library_can_be_deleted(deletion: Deletion, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(InvalidRecipe):
        deletion.delete(["../secret"])
    assert deletion.delete(["f" * 16]) == []
    assert (tmp_path / "secret.json").exists()


def test_a_note_may_be_as_long_as_is_said(labels: Labels) -> None:
    labels.change([A], note="x" * LONGEST_NOTE)
    assert len(labels.of(A).note) == LONGEST_NOTE
