"""The event file and the recorder that fills it."""

from pathlib import Path

import pytest

from qcore.jobs import events, recorder
from qcore.jobs.local.table import Table
from qcore.jobs.recorder import Recorder
from qcore.progress import Event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job" / "events.jsonl"


def test_events_come_back_in_order_from_any_point(path: Path) -> None:
    said = [Event("load", index, 9, f"é {index}", time=float(index)) for index in range(9)]
    assert events.read(path) == []
    assert all(events.append(path, event) for event in said)
    assert events.read(path) == said
    assert events.read(path, after=7) == said[7:]
    assert events.read(path, after=100) == []


def test_a_torn_last_line_is_not_there_yet_and_does_not_swallow_the_next(path: Path) -> None:
    first, second = Event("load", 1, time=1.0), Event("load", 2, time=2.0)
    events.append(path, first)
    with path.open("a") as file:
        file.write('{"stage":"lo')
    assert events.read(path) == [first]
    assert events.append(path, second)
    after_tear = events.read(path, after=1)
    assert [event.kind for event in after_tear] == ["warning", "progress"]
    assert after_tear[1] == second


def test_bytes_that_are_no_text_are_a_warning(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\n" + Event("load", time=1.0).to_json().encode() + b"\n")
    assert [event.kind for event in events.read(path)] == ["warning", "progress"]


def test_an_event_that_cannot_be_written_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("a file where the folder should be")
    assert events.append(tmp_path / "job" / "events.jsonl", Event("load")) is False


@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_the_tail_is_the_last_lines(
    path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK", chunk)
    path.parent.mkdir()
    path.write_text("one\ntwo\nthree\nfour", encoding="utf-8")
    assert events.tail(path, 2) == "three\nfour"
    assert events.tail(path, 99) == "one\ntwo\nthree\nfour"
    assert events.tail(path, 0) == ""
    assert events.tail(path.with_name("none"), 5) == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(recorder.time, "monotonic", lambda: now[0])
    return now


def test_progress_is_thinned_but_first_and_last_get_through(
    path: Path, tmp_path: Path, clock: list[float]
) -> None:
    emit = Recorder(Table(tmp_path / "queue.sqlite"), "0123456789ab", 1, path)
    for done in range(1001):
        clock[0] += 0.001
        emit(Event("evaluate", done, 1000))
    written = [event.done for event in events.read(path)]
    assert written[0] == 0
    assert written[-1] == 1000
    assert len(written) <= 2 + 1.0 / recorder.INTERVAL_SECONDS


def test_the_newest_progress_is_written_before_another_stage_begins(
    path: Path, tmp_path: Path, clock: list[float]
) -> None:
    emit = Recorder(Table(tmp_path / "queue.sqlite"), "0123456789ab", 1, path)
    for done in range(5):
        emit(Event("load", done, 0))
    emit(Event("load", 4, 0, "odd", kind="warning"))
    emit(Event("capture", 0, 7))
    emit(Event("capture", 1, 7))
    emit.flush()
    assert [(e.stage, e.done, e.kind) for e in events.read(path)] == [
        ("load", 0, "progress"),
        ("load", 4, "progress"),
        ("load", 4, "warning"),
        ("capture", 0, "progress"),
        ("capture", 1, "progress"),
    ]
