"""list · name · tag · note · pin · archive · delete, and what they refuse."""

import io
import json
from pathlib import Path

import pytest

from qcore import cli
from qcore.recipe import Recipe, Weights
from qcore.report.labels import Labels
from qcore.report.library import Library
from tests.report.factories import report_of


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    library = Library(tmp_path)
    made = [report_of(Recipe(weights=Weights(name))) for name in ("int4", "int3", "int8")]
    return [library.add(report).id for report in made]


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict]:
    capsys.readouterr()
    assert cli.main(["list", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_prints_every_run_in_a_line(runs, capsys) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert {line[:16] for line in lines[1:]} == set(runs)


def test_what_is_said_on_the_command_line_is_listed(runs, capsys) -> None:
    a, b, c = runs
    assert cli.main(["name", a[:8], "the one for the talk"]) == 0
    assert cli.main(["tag", a, b, "--add", "talk", "--add", "draft"]) == 0
    assert cli.main(["tag", b, "--remove", "draft"]) == 0
    assert cli.main(["pin", c]) == 0
    assert cli.main(["pin", b, "--baseline"]) == 0
    rows = {row["id"]: row for row in listed(capsys)}
    assert next(iter(rows)) == c
    assert rows[a]["name"] == "the one for the talk"
    assert rows[a]["tags"] == ["draft", "talk"]
    assert rows[b]["tags"] == ["talk"]
    assert rows[b]["baseline"]
    assert [row["id"] for row in listed(capsys, "--tag", "draft")] == [a]
    assert [row["id"] for row in listed(capsys, "--search", "TALK one")] == [a]


def test_archived_runs_are_listed_when_asked_for(runs, capsys) -> None:
    assert cli.main(["archive", runs[0]]) == 0
    assert runs[0] not in {row["id"] for row in listed(capsys)}
    assert runs[0] in {row["id"] for row in listed(capsys, "--archived")}
    assert cli.main(["archive", runs[0], "--undo"]) == 0
    assert len(listed(capsys)) == 3


def test_a_note_comes_from_standard_input_and_is_printed(runs, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))
    assert cli.main(["note", runs[0], "-"]) == 0
    assert cli.main(["note", runs[0]]) == 0
    assert capsys.readouterr().out == "two\nlines\n"


def test_delete_asks_where_somebody_can_answer_and_refuses_elsewhere(
    runs, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.main(["delete", runs[0]]) == 1
    said = capsys.readouterr().err
    assert "Lost: the measured numbers" in said
    assert "--yes" in said
    assert Library(tmp_path).has(runs[0])


def test_a_deleted_run_comes_back_with_undo(runs, capsys, tmp_path) -> None:
    Labels(tmp_path).change([runs[0]], name="mine")
    assert cli.main(["delete", runs[0], "--yes"]) == 0
    assert len(listed(capsys)) == 2
    assert cli.main(["delete", "--undo", runs[0]]) == 0
    assert {row["name"] for row in listed(capsys)} == {"mine", ""}
    assert cli.main(["delete", "--undo", "f" * 16]) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["name", "ffffffffffffffff", "x"], "there is no run ffffffffffffffff"),
        (["name", "xyz", "x"], "'xyz' is no report id"),
        (["tag", "ffffffffffffffff", "--add", "t"], "there is no run"),
        (["tag", "ffffffffffffffff"], "no tag is named"),
        (["delete", "../../etc/passwd", "--yes"], "is no report id"),
    ],
)
def test_what_does_not_exist_is_refused_in_a_sentence(runs, capsys, command, said) -> None:
    assert cli.main(command) == 1
    assert said in capsys.readouterr().err


def test_a_name_of_ten_thousand_characters_is_refused(runs, capsys) -> None:
    assert cli.main(["name", runs[0], "x" * 10_000]) == 1
    assert "10,000 characters is longer than 100" in capsys.readouterr().err
