"""suffix train · evaluate · predict: what they print, and what they refuse in a sentence."""

from pathlib import Path

import pytest

from qcore import cli

SMALL = ["--epochs", "2", "--hidden", "8"]


@pytest.fixture
def log(tmp_path: Path) -> str:
    rows = [
        f"case {case},{name},2024-01-{1 + case:02d} 0{hour}:00:00"
        for case in range(28)
        for hour, name in enumerate(["open", "check" if case % 2 else "ask", "pay", "close"])
    ]
    path = tmp_path / "log.csv"
    path.write_text("case,activity,time\n" + "\n".join(rows) + "\n")
    return str(path)


def test_a_network_is_trained_scored_and_asked(log: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["suffix", "train", log, *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "validation" in shown
    assert "Similarity of lookup" in shown
    assert cli.main(["suffix", "evaluate", log, *SMALL, "--weights", "int8"]) == 0
    assert "Identical suffixes" in capsys.readouterr().out
    assert cli.main(["suffix", "predict", log, *SMALL, "--prefix", "open|check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["answer", "argmax", "expected", "beam"]


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["predict", "LOG", *SMALL, "--prefix", "open"], "the prefix has 1 event; give at least 2"),
        (["train", "LOG", *SMALL, "--columns", "a,b,c"], "has no column 'a'"),
        (["train", "LOG", *SMALL, "--columns", "a"], "1 columns are named"),
        (["train", "/nowhere.csv", *SMALL], "there is no event log at /nowhere.csv"),
        (["train", "LOG", *SMALL, "--fold", "9"], "fold 9 is none of 5"),
        (["evaluate", "LOG", *SMALL, "--weights", "int99"], "int99"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    log: str, capsys: pytest.CaptureFixture[str], arguments: list[str], fact: str
):
    given = [log if word == "LOG" else word for word in arguments]
    assert cli.main(["suffix", *given]) == 1
    errors = capsys.readouterr().err
    assert fact in errors
    assert "Traceback" not in errors


def test_activities_that_training_never_saw_are_named(log: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["suffix", "predict", log, *SMALL, "--prefix", "open|dance"]) == 0
    assert "training never saw 'dance'" in capsys.readouterr().err
