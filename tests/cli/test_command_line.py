"""run · sweep · report · doctor: what goes to standard output, and how they exit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qcore import cli, pipeline
from qcore.errors import DiskFull
from qcore.recipe.titles import title_of
from qcore.report.library import Library
from qcore.report.report import Report
from tests.pipeline.factories import Workshop

ROOT = Path(__file__).parents[2]


def written(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data), encoding="utf-8")
    return str(path)


def test_run_prints_the_report_alone_and_it_is_the_librarys(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "recipe.json", shop.data(seed=11))
    assert cli.main(["run", file, "--json", "--device", "cpu"]) == 0
    output, errors = capsys.readouterr()
    report = Report.from_json(output)
    assert output == report.to_json() + "\n"
    assert report == Library(shop.root).get(report.id)
    assert report.recipe == shop.recipe(seed=11)
    assert "evaluate" in errors


def test_a_repeat_in_a_new_process_prints_the_same_bytes(shop: Workshop) -> None:
    kept = shop.run(shop.recipe())
    done = subprocess.run(
        [sys.executable, "-m", "qcore", "run", "-", "--json"],
        input=json.dumps(shop.data()),
        cwd=ROOT,
        env={**os.environ, "QUANTSCOPE_HOME": str(shop.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == kept.to_json() + "\n"
    assert done.stderr == "this exact run was finished before\n"


def test_run_prints_a_line_for_people(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "recipe.json", shop.data())
    assert cli.main(["run", file]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["report", "bits/w", "MB", "perplexity", "KL", "recipe"]
    assert line.endswith("W INT4 · RTN · MSE")


def test_sweep_prints_all_reports_in_order(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "sweep.json", shop.data(weights={"format": ["int8", "int4"]}))
    assert cli.main(["sweep", file, "--json"]) == 0
    reports = [Report.from_json(json.dumps(item)) for item in json.loads(capsys.readouterr().out)]
    assert [title_of(report.recipe) for report in reports] == [
        "W INT8 · RTN · MSE",
        "W INT4 · RTN · MSE",
    ]
    assert all(Library(shop.root).has(report.id) for report in reports)


def test_one_failed_run_of_a_sweep_does_not_stop_the_others_but_the_status_tells(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path / "sweep.json", shop.data(weights={"format": "int4", "group": [32, 16]})
    )
    assert cli.main(["sweep", file, "--json"]) == 1
    output, errors = capsys.readouterr()
    (report,) = json.loads(output)
    assert report["recipe"]["weights"]["group"] == 16
    assert "group 32 of int4 does not divide 48" in errors
    assert errors.splitlines()[-1] == "quantscope: 1 of 2 runs failed"


def test_report_shows_a_finished_run_by_its_first_digits(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = shop.run(shop.recipe())
    assert cli.main(["report", kept.id[:8], "--json"]) == 0
    assert capsys.readouterr().out == kept.to_json() + "\n"
    assert cli.main(["report", kept.id]) == 0
    shown = capsys.readouterr().out
    definition = kept.metrics[0].definition
    assert all(part in shown for part in (kept.id, "perplexity: ", definition, "bits per weight"))


@pytest.mark.parametrize(("given", "sentence"), [("dead", "0 reports"), ("no id", "no report id")])
def test_report_refuses_an_unknown_id(
    given: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", given]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert sentence in errors
    assert len(errors.splitlines()) == 1


def test_doctor_prints_findings_alone_and_its_status_says_whether_all_is_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from qcore.machine import doctor

    status = cli.main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)
    assert status == (0 if doctor.is_healthy(doctor.examine()) else 1)


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run"], ["run", "a.json", "--colour"], ["report"]]
)
def test_a_command_that_cannot_be_understood_exits_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m qcore")


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_an_interrupt_exits_with_130_and_says_that_stages_are_kept(
    shop: Workshop,
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    file = written(tmp_path / "recipe.json", shop.data())
    assert cli.main([command, file, "--json"]) == 130
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == "quantscope: interrupted; finished stages are kept\n"


def test_a_full_disk_is_a_sentence(
    shop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from cache.artifacts import Artifacts

    def full(*_):
        raise DiskFull("an array of 1 MB could not be written", remedy="free some disk space")

    monkeypatch.setattr(Artifacts, "put", full)
    file = written(tmp_path / "recipe.json", shop.data(scales={"method": "absmax"}))
    assert cli.main(["run", file]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[-1] == (
        "quantscope: an array of 1 MB could not be written; free some disk space"
    )
