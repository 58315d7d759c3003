"""Reports survive JSON and the disk, byte for byte."""

import dataclasses
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cache.digest import digest
from qcore.errors import CorruptEntry, DiskFull, InvalidRecipe
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Environment, LayerReport, Metric, Report, StageReport, Volume


@pytest.fixture
def report():
    return Report(
        id=digest("one")[:16],
        recipe=Recipe(),
        created=1700000000.25,
        assignment={"0.self_attn.q_proj": "int4"},
        layers=(LayerReport("0.self_attn.q_proj", 0, "q_proj", "int4", 64, 4, 4.25, 0.01),),
        metrics=(Metric("perplexity", 30.36, "", "exp of the token mean", 4088, 28.0, 33.0),),
        window_losses=(3.25, 3.5),
        float_window_losses=(3.0, 3.25),
        window_divergences=(),
        volume=Volume(32, 2, 100, 4.25, 64, 114),
        stages=(StageReport("load", digest("key"), 1.5, False),),
        environment=Environment("cpu", "tiny", digest("m"), "llama", {}, {"torch": "2"}),
        notes=("dequantized Q4_1",),
    )


def test_a_report_survives_the_way_through_json(report):
    assert Report.from_json(report.to_json()) == report
    assert Report.from_json(report.to_json()).to_json() == report.to_json()


def test_the_library_gives_back_what_was_added(tmp_path, report):
    library = Library(tmp_path)
    library.add(report)
    assert library.get(report.id) == report
    assert library.get(report.id[:6]) == report
    assert library.reports() == [report]


def test_the_first_report_of_an_id_stays(tmp_path, report):
    library = Library(tmp_path)
    library.add(report)
    again = library.add(dataclasses.replace(report, created=2.0))
    assert again.to_json() == report.to_json()


def test_a_damaged_report_is_left_out_of_the_list_and_named_when_asked_for(tmp_path, report):
    library = Library(tmp_path)
    library.add(report)
    (tmp_path / "reports" / f"{report.id}.json").write_text("{")
    assert library.reports() == []
    with pytest.raises(CorruptEntry, match="run the recipe again"):
        library.get(report.id)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "zz", "a" * 17])
def test_an_id_is_never_a_path(tmp_path, name):
    with pytest.raises(InvalidRecipe, match="no report id"):
        Library(tmp_path).get(name)


def test_a_full_disk_leaves_no_half_written_report(tmp_path, report, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    library = Library(tmp_path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match="free some disk space"):
        library.add(report)
    assert list((tmp_path / "reports").iterdir()) == []


def test_an_event_is_one_line_that_reads_back():
    event = Event("capture", 3, 30, "block 3\nof 30")
    assert "\n" not in event.to_json()
    assert Event.from_json(event.to_json()) == event


def test_of_many_that_add_one_report_at_once_all_get_the_same_bytes(tmp_path, report, monkeypatch):
    library, crowd = Library(tmp_path), 8
    ready = threading.Barrier(crowd)
    written = os.fsync

    def together(descriptor):
        written(descriptor)
        ready.wait(20)  # all have seen that there is none, and none has given its own a name yet

    monkeypatch.setattr("qcore.report.library.os.fsync", together)
    many = [dataclasses.replace(report, created=float(n)) for n in range(crowd)]
    with ThreadPoolExecutor(crowd) as pool:
        kept = list(pool.map(library.add, many))
    assert {item.to_json() for item in kept} == {library.get(report.id).to_json()}
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [f"{report.id}.json"]


def test_a_file_system_without_links_keeps_reports_too(tmp_path, report, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("qcore.report.library.os.link", refuse)
    library = Library(tmp_path)
    library.add(report)
    assert library.get(report.id) == report
