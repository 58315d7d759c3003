from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from qcore.errors import DataError
from qcore.suffix.encoding import learn_encoder
from qcore.suffix.logs import xes as xes_module
from qcore.suffix.logs.columns import Columns, columns, guess, read_csv
from qcore.suffix.logs.cost import reading_cost
from qcore.suffix.logs.event_log import check_learnable
from qcore.suffix.logs.xes import read_xes
from tests.suffix.factories import log_of

HEADER = "case,activity,timestamp\n"
ROWS = "1,A,2024-01-01 08:00:00\n1,B,2024-01-01 09:30:00\nNA,A,2024-01-02\nNA,C,2024-01-03\n"


def write(folder: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_csv_log_keeps_cases_activities_and_seconds(tmp_path):
    log = read_csv(write(tmp_path, HEADER + ROWS))
    assert log.cases == ("1", "NA")  # NA is a name, not a hole
    assert log.names == ("A", "B", "C")
    assert log.traces() == [(0, 1), (0, 2)]
    assert log.seconds[1] - log.seconds[0] == 5400
    assert log.notes == ()


def test_gzip_reads_as_the_plain_file_does(tmp_path):
    plain = read_csv(write(tmp_path, HEADER + ROWS))
    packed = read_csv(write(tmp_path, gzip.compress((HEADER + ROWS).encode()), "log.csv.gz"))
    assert packed.traces() == plain.traces()
    np.testing.assert_array_equal(packed.seconds, plain.seconds)


@pytest.mark.parametrize(
    "times",
    [
        ("2024-03-01T08:00:00+01:00", "2024-03-02T08:00:00+01:00"),
        ("01.03.2024 08:00", "13.03.2024 08:00"),
        ("03/01/2024 08:00:00", "03/13/2024 08:00:00"),
        ("2024/03/01 08:00:00.250", "2024/03/13 08:00:00.250"),
    ],
)
def test_usual_ways_to_write_a_time_are_read(tmp_path, times):
    log = read_csv(write(tmp_path, HEADER + f"1,A,{times[0]}\n1,B,{times[1]}\n"))
    days = (log.seconds[1] - log.seconds[0]) / 86_400
    assert days == pytest.approx(12 if "13" in times[1] else 1)


def test_zones_are_converted_before_they_are_dropped(tmp_path):
    rows = "1,A,2024-01-01T12:00:00+02:00\n1,B,2024-01-01T11:00:00Z\n"
    log = read_csv(write(tmp_path, HEADER + rows))
    assert log.seconds[1] - log.seconds[0] == 3600


def test_unsorted_events_are_sorted_and_said(tmp_path):
    log = read_csv(write(tmp_path, HEADER + "1,B,2024-01-02\n1,A,2024-01-01\n2,A,2024-01-01\n"))
    assert [log.names[i] for i in log.activity] == ["A", "B", "A"]
    assert log.notes == ("2 of 3 events were not in the order of time, and were sorted",)


def test_events_of_equal_time_keep_the_order_of_the_file(tmp_path):
    log = read_csv(write(tmp_path, HEADER + "".join(f"1,{a},2024-01-01\n" for a in "CABBA")))
    assert "".join(log.names[i] for i in log.activity) == "CABBA"


def test_interleaved_cases_are_gathered_without_a_note(tmp_path):
    rows = "1,A,2024-01-01\n2,A,2024-01-01\n1,B,2024-01-02\n2,C,2024-01-02\n"
    log = read_csv(write(tmp_path, HEADER + rows))
    assert log.traces() == [(0, 1), (0, 2)]
    assert log.notes == ()


def test_the_mapping_is_guessed_from_names_in_use():
    assert guess(["x", "Case ID", "Activity", "Complete Timestamp"]) == Columns(
        "Case ID", "Activity", "Complete Timestamp"
    )
    assert guess(["concept:name", "case:concept:name", "time:timestamp"]) == Columns(
        "case:concept:name", "concept:name", "time:timestamp"
    )


def test_a_mapping_of_ones_own_is_followed(tmp_path):
    path = write(tmp_path, "who;what;when\n1;A;2024-01-01\n1;B;2024-01-02\n")
    assert columns(path) == ["who", "what", "when"]
    assert read_csv(path, Columns("who", "what", "when")).names == ("A", "B")


def test_two_hundred_columns_are_read_by_the_three_that_matter(tmp_path):
    extra = [f"x{i}" for i in range(197)]
    header = ",".join([*extra, "case", "activity", "timestamp"])
    row = ",".join(["0"] * 197)
    path = write(tmp_path, f"{header}\n{row},1,A,2024-01-01\n{row},1,B,2024-01-02\n")
    assert read_csv(path).traces() == [(0, 1)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_letters_survive_the_encodings_in_use(tmp_path, encoding):
    content = (HEADER + "1,Prüfung,2024-01-01\n1,Maß,2024-01-02\n").encode(encoding)
    assert read_csv(write(tmp_path, content)).names == ("Prüfung", "Maß")


def test_what_reading_costs_is_said_from_the_first_rows(tmp_path):
    content = HEADER + "".join(f"{i},Activity,2024-01-01 08:00:00\n" for i in range(4000))
    for path in (
        write(tmp_path, content),
        write(tmp_path, gzip.compress(content.encode()), "log.csv.gz"),
    ):
        cost = reading_cost(path)
        assert cost.events == pytest.approx(4000, rel=0.05)
        assert cost.memory > 4000 * 100
        assert cost.seconds > 0


def test_what_reading_an_xes_costs_is_said_from_its_first_events(tmp_path):
    events = "".join(EVENT.format("Activity", 1 + i % 9, "") for i in range(20_000))
    content = xes(events).encode()
    assert len(content) > 1 << 20
    for path in (
        write(tmp_path, content, "log.xes"),
        write(tmp_path, gzip.compress(content), "log.xes.gz"),
    ):
        cost = reading_cost(path)
        assert cost.events == pytest.approx(20_000, rel=0.05)
        assert cost.memory > 20_000 * 100
        assert cost.seconds > 0
    assert reading_cost(write(tmp_path, b"", "empty.xes")).events == 0


def test_a_small_xes_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(xes_module, "MOST_BYTES", 1 << 20)
    content = xes(EVENT.format("A", 1, "") + " " * (2 << 20))
    path = write(tmp_path, gzip.compress(content.encode()), "log.xes.gz")
    assert path.stat().st_size < 1 << 16
    with pytest.raises(DataError, match="holds more than 1 MiB of text"):
        read_xes(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "log.csv is empty"),
        (HEADER, "has a header and no rows"),
        ("case,activity\n1,A\n", "none of 2 columns .case, activity. is named like the time"),
        ("a,b,c\n1,2,3\n", "is named like the case"),
        (HEADER + "1,A,yesterday\n", "row 2 of log.csv has the time 'yesterday'; 1 of 1 rows"),
        (HEADER + "1,A,2024-01-01\n1,B,32.13.2024\n", "row 3 .* 1 of 2 rows"),
        (HEADER + "1,A,\n", "row 2 of log.csv has the time ''"),
        (HEADER + "1,,2024-01-01\n", "row 2 of log.csv has no activity"),
        (HEADER + ",A,2024-01-01\n", "row 2 of log.csv has no case"),
        (HEADER + "1,A,2024-01-01,extra,more\n", "is not a table"),
        ("case,case,activity,timestamp\n1,1,A,2024\n", "2 columns named 'case'"),
        (",".join(f"x{i}" for i in range(1200)) + "\n", "1200 columns, more than 1000"),
        (HEADER.encode() + "1,Prüfung,2024-01-01\n".encode() + b"1,Ma\xdf,2024-01-02\n", "mixes"),
        (b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_a_bad_csv_is_refused_with_its_fact(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_csv(write(tmp_path, content))


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("qcore.suffix.logs.columns.MOST_BYTES", 1 << 20)
    content = HEADER + "1,A,2024-01-01\n" * 100_000
    path = write(tmp_path, gzip.compress(content.encode()), "log.csv.gz")
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="holds more than 1 MiB of text"):
        read_csv(path)


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="no column 'who', only case, activity, timestamp"):
        read_csv(write(tmp_path, HEADER + ROWS), Columns("who", "activity", "timestamp"))


def test_a_file_that_is_not_there_is_a_data_error(tmp_path):
    for read in (read_csv, read_xes):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ABC"], "1 case"),
        (["AAA", "AA"], "all 5 events have the activity 'A'"),
        (["AB", "BA"], "longest case has 2 events"),
    ],
)
def test_logs_with_nothing_to_learn_are_refused(words, says):
    with pytest.raises(DataError, match=says):
        check_learnable(log_of(words))
    with pytest.raises(DataError, match=says):
        learn_encoder(log_of(words))


def test_selected_cases_keep_their_events():
    log = log_of(["ABC", "AD", "BCD"])
    chosen = log.select([2, 0])
    assert chosen.cases == ("case 2", "case 0")
    assert chosen.traces() == [log.traces()[2], log.traces()[0]]


EVENT = (
    '<event><string key="concept:name" value="{0}"/>'
    '<date key="time:timestamp" value="2024-01-0{1}T08:00:00.000+00:00"/>{2}</event>'
)


def xes(*traces: str, head: str = "") -> str:
    body = "".join(
        f'<trace><string key="concept:name" value="{i}"/>{events}</trace>'
        for i, events in enumerate(traces)
    )
    return f'<?xml version="1.0"?>{head}<log xmlns="http://www.xes-standard.org/">{body}</log>'


def test_xes_gives_the_log_that_the_same_csv_gives(tmp_path):
    events = EVENT.format("A", 1, "") + EVENT.format("B", 2, "")
    path = write(tmp_path, gzip.compress(xes(events, events).encode()), "log.xes.gz")
    log = read_xes(path)
    assert (log.cases, log.names, log.traces()) == (("0", "1"), ("A", "B"), [(0, 1), (0, 1)])
    assert log.seconds[1] - log.seconds[0] == 86_400


def test_xes_attributes_inside_attributes_are_not_the_events_own(tmp_path):
    nested = '<string key="x" value="y"><string key="concept:name" value="wrong"/></string>'
    log = read_xes(write(tmp_path, xes(EVENT.format("A", 1, nested))))
    assert log.names == ("A",)


def test_xes_lifecycles_count_completions_alone(tmp_path):
    step = '<string key="lifecycle:transition" value="{}"/>'
    events = EVENT.format("A", 1, step.format("start")) + EVENT.format(
        "A", 2, step.format("COMPLETE")
    )
    log = read_xes(write(tmp_path, xes(events)))
    assert len(log.activity) == 1
    assert log.notes == ("1 of 2 events are not completions, and were left out",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            xes(head='<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'),
            "declares the entity 'a'",
        ),
        (xes(head='<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), "declares the entity"),
        (xes(head='<!DOCTYPE l [<!ENTITY % a "x">]>'), "declares the entity"),
        (xes(), "has no events"),
        ("<html></html>", "begins with <html>, not <log>"),
        ("<log><trace>", "is not XML"),
        ("case,activity", "is not XML"),
        (xes("<event></event>"), "has no concept:name at event 1"),
        (xes('<event><string key="concept:name" value="A"/></event>'), "no time:timestamp"),
        (xes(EVENT.format("A", "x", "")), "has the time '2024-01-0xT08"),
        ("<log>" + "<a>" * 200, "nested deeper than 100"),
        (b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_a_bad_xes_is_refused_with_its_fact(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_xes(write(tmp_path, content, "log.xes"))
