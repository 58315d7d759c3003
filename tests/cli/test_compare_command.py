"""`compare`: what it prints, in which form, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qcore import cli
from qcore.recipe import Evaluation, Recipe, Rounding, ScalesPart, Weights
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.report.report import Report
from tests.pages.tokens.factories import STATISTICS
from tests.pipeline.factories import Workshop
from tests.report.factories import report_of

HARD = np.array([3.0, 2.2, 4.1, 2.9, 3.6, 2.4, 3.3, 3.9])


def run(method: str, losses=HARD, **recipe) -> Report:
    made = Recipe(
        weights=Weights("int4"), scales=ScalesPart("absmax"), rounding=Rounding(method), **recipe
    )
    report = report_of(made, window_losses=tuple(map(float, losses)))
    return replace(report, tokens=STATISTICS)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    return Library(tmp_path)


@pytest.fixture
def pair(library) -> list[str]:
    better = HARD - 0.03 + np.linspace(-0.005, 0.005, 8)
    return [library.add(report).id for report in (run("rtn"), run("gptq", better))]


def test_people_read_a_verdict_the_differences_and_what_differs(pair, capsys) -> None:
    a, b = pair
    assert cli.main(["compare", a[:8], b[:8]]) == 0
    said = capsys.readouterr().out
    assert "Better by 0.030" in said
    assert "rounding.method" in said
    assert any(line.split()[:2] == ["B", "loss"] for line in said.splitlines())


def test_json_holds_every_number_and_how_many_windows_would_settle_it(library, capsys) -> None:
    near = HARD + 0.02 * np.array([1, -1, 1, -1, 1, -1, 1, -0.5])
    a, b = (library.add(report).id for report in (run("rtn"), run("gptq", near)))
    assert cli.main(["compare", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["baseline"] == a
    other = found["runs"][1]
    assert other["windows_needed"] > 8
    assert other["differences"][0]["says"] == "open"
    assert other["differences"][0]["gap"]["count"] == 8
    assert other["tokens"]["kl"]["value"] == 0.05
    assert found["knobs"] == {"rounding.method": ["rtn", "gptq"]}


def test_markdown_is_tables_with_the_published_one_of_kl(pair, capsys) -> None:
    assert cli.main(["compare", *pair, "--markdown"]) == 0
    said = capsys.readouterr().out
    assert "| Run | Bits per weight | KL median | KL 99 % | Top tokens differ |" in said
    assert said.count("| --- |") >= 4


def test_the_baseline_can_be_chosen(pair, capsys) -> None:
    a, b = pair
    assert cli.main(["compare", a, b, "--base", b[:6]]) == 0
    assert "Worse by 0.030" in capsys.readouterr().out
    assert cli.main(["compare", a, b, "--base", "zz\u202e"]) == 1
    error = capsys.readouterr().err
    assert "none of the compared runs" in error
    assert "\u202e" not in error


def test_a_run_on_another_evaluation_is_left_out_and_the_status_tells(
    pair, library, capsys
) -> None:
    other = library.add(run("gpfq", evaluation=Evaluation(length=256)))
    assert cli.main(["compare", *pair, other.id]) == 1
    output, errors = capsys.readouterr()
    assert "Better by 0.030" in output
    assert "512 and 256 tokens" in errors
    assert "--measure" in errors
    assert cli.main(["compare", pair[0], other.id]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["A"], "1 run cannot be compared"),
        (["A", "A"], "stands twice"),
        (["A", "ffffffff"], "0 reports start with ffffffff"),
        (["A", "../../etc/passwd"], "etc/passwd"),
        (["A", "\u202e"], "quantscope"),
        (["A", "B", "1", "2", "3", "4", "5"], "7 runs cannot be compared"),
    ],
)
def test_bad_ids_are_refused_in_a_sentence(pair, capsys, ids, said) -> None:
    named = [{"A": pair[0], "B": pair[1]}.get(run, run) for run in ids]
    assert cli.main(["compare", *named]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("quantscope: ")
    assert "Traceback" not in errors
    assert said in errors
    assert "\u202e" not in errors


def test_an_unreadable_report_is_refused_in_a_sentence(pair, library, capsys) -> None:
    (library._folder / f"{pair[1]}.json").write_text("{", encoding="utf-8")
    assert cli.main(["compare", *pair]) == 1
    assert pair[1] in capsys.readouterr().err


def test_names_with_markup_stay_text_in_the_tables(pair, tmp_path, capsys) -> None:
    Labels(tmp_path).change([pair[0]], name="<b>|x|</b>")
    assert cli.main(["compare", *pair, "--markdown"]) == 0
    assert "\\<b\\>\\|x\\|\\</b\\>" in capsys.readouterr().out


def test_what_is_missing_is_measured_on_request(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    a = shop.run(shop.recipe(seed=31))
    short = {"text": f"file:{shop.text}", "windows": 3, "length": 16}
    b = shop.run(shop.recipe(seed=31, weights={"format": "int8"}, evaluation=short))
    assert cli.main(["compare", a.id, b.id, "--json"]) == 1
    assert cli.main(["compare", a.id, b.id, "--measure", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["runs"]) == 2
    assert found["refused"] == []
    assert Library(shop.root).get(found["runs"][1]["id"]).recipe.evaluation.length == 24
