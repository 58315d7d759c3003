"""One bad file costs no other, leftovers go, and a folder that cannot be written still serves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.summary import read_summary
from tests.report.factories import report_of
from tests.report.helpers_hostile import HOSTILE, NAME, as_nobody, hostile, read_only


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path)
    library.add(report_of(Recipe()))
    return library


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_report_is_refused_with_a_sentence_and_left_out(library, tmp_path, kind):
    hostile(tmp_path / "reports" / f"{NAME}.json", kind)
    with pytest.raises(CorruptEntry, match=NAME) as refused:
        read_summary(library, NAME)
    assert len(str(refused.value)) < 500
    assert [report.id for report in library.reports() if report.id != NAME] == [
        report_of(Recipe()).id
    ]


def test_a_newer_report_is_not_shown_as_if_it_were_this_ones(library, tmp_path):
    hostile(tmp_path / "reports" / f"{NAME}.json", "a newer schema")
    with pytest.raises(CorruptEntry, match="schema 2, and this version reads 1") as refused:
        library.get(NAME)
    assert "newer Quantscope" in refused.value.remedy
    assert "delete" not in refused.value.remedy


def test_a_report_that_may_not_be_read_is_refused_with_a_sentence(library, tmp_path):
    path = tmp_path / "reports" / f"{report_of(Recipe()).id}.json"
    path.chmod(0)
    with as_nobody(tmp_path), pytest.raises(CorruptEntry, match="permission denied"):
        library.get(path.stem)


@settings(max_examples=150)
@given(st.data())
def test_whatever_stands_in_a_file_the_answer_is_a_report_or_a_sentence(tmp_path_factory, data):
    whole = report_of(Recipe()).to_json()
    where = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 12))
    put = data.draw(st.sampled_from(_PIECES) | st.text(max_size=4))
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    library = Library(folder)
    name = report_of(Recipe()).id
    text = whole[:where] + put + whole[where + length :]
    (folder / "reports" / f"{name}.json").write_text(text, "utf-8", "surrogatepass")
    try:
        read = library.read(name).id
    except CorruptEntry:
        read = name  # said in a sentence
    assert read == name


_PIECES = ("null", "[]", "{}", "-", "1e999", "9" * 30, '"', "\\ud800", "true", "0.5", "[[", ",")


def test_an_id_is_completed_when_only_one_starts_so(tmp_path):
    library = Library(tmp_path)
    for name in ("aaaa" + "0" * 12, "aaab" + "0" * 12):
        library.add(report_of(Recipe(), id=name))
    assert library.get("aaab").id == "aaab" + "0" * 12
    library.add(report_of(Recipe(), id="aaab" + "1" * 12))
    with pytest.raises(InvalidRecipe, match="2 reports start with aaab; give more digits"):
        library.get("aaab")
    with pytest.raises(InvalidRecipe, match="0 reports start with cccc"):
        library.get("cccc")
    with pytest.raises(InvalidRecipe, match="0 reports start with"):
        library.get("c" * 16)


def test_parts_of_killed_writers_are_swept_and_those_of_the_living_are_not(tmp_path):
    folder = tmp_path / "reports"
    Library(tmp_path)
    gone, here = 2**22 + 1, os.getpid()  # no process of Linux has such a number
    old, live, young, other = (
        folder / f"{'a' * 16}.{gone}.1.part",
        folder / f"{'a' * 16}.{here}.2.part",
        folder / f"{'b' * 16}.{gone}.3.part",
        folder / "notes.part",
    )
    for path in (old, live, young, other):
        path.write_text("{")
    for path in (old, live, other):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    Library(tmp_path).add(report_of(Recipe()))
    assert [path.exists() for path in (old, live, young, other)] == [False, True, True, True]


def test_a_folder_that_cannot_be_written_serves_its_reports(library, tmp_path):
    with read_only(tmp_path):
        again = Library(tmp_path)
        assert again.get(report_of(Recipe()).id) == report_of(Recipe())
        assert again.add(report_of(Recipe())) == report_of(Recipe())
        with pytest.raises(DiskFull, match=r"make .* writable") as refused:
            again.add(report_of(Recipe(seed=1)))
    assert "disk space" not in str(refused.value)


def test_a_home_without_reports_that_cannot_be_written_is_an_empty_library(tmp_path):
    with read_only(tmp_path):
        library = Library(tmp_path)
        assert library.ids() == library.reports() == []
        assert library.stamp() == 0
        with pytest.raises(DiskFull, match="writable"):
            library.add(report_of(Recipe()))
