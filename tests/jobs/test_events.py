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


def lines(first: int, count: int) -> bytes:
    said = (Event("load", index, time=float(index)) for index in range(first, first + count))
    return b"".join(event.to_json().encode() + b"\n" for event in said)


def bytes_read() -> int:
    """What this process has read by now from anything."""
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("this system does not count what a process reads")
    return int(io.read_text().split()[1])


def test_of_a_hundred_thousand_events_the_second_look_reads_what_was_appended(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(lines(0, 100_000))
    size = path.stat().st_size
    reader = events.Reader()
    before = bytes_read()
    assert len(reader.read(path)) == 100_000
    assert bytes_read() - before >= size
    with path.open("ab") as file:
        file.write(lines(100_000, 3))
    before = bytes_read()
    assert [event.done for event in reader.read(path, after=100_000)] == [100_000, 100_001, 100_002]
    assert reader.read(path, after=100_003) == []
    assert bytes_read() - before < size / 100


def test_a_reader_that_remembers_reads_what_one_that_does_not_reads(path: Path) -> None:
    path.parent.mkdir()
    data = lines(0, 4) + b"torn\n" + lines(5, 3) + b"no end"
    reader = events.Reader()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        for after in (0, 3, length % 11, 8, 20):
            assert reader.read(path, after) == events.read(path, after), (length, after)


def test_a_file_that_was_replaced_is_read_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(lines(0, 9))
    reader = events.Reader(files=1)
    assert len(reader.read(path)) == 9
    path.with_name("other").write_bytes(lines(50, 20))
    path.with_name("other").replace(path)
    assert [event.done for event in reader.read(path, after=9)] == list(range(59, 70))
    path.write_bytes(lines(0, 2))
    assert reader.read(path, after=20) == []
    assert len(reader.read(path)) == 2


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
