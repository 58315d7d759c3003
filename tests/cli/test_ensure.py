"""`run --ensure`: one stage in the cache, of a recipe or of a finished run."""

import json
from pathlib import Path

import pytest

from qcore import cli
from qcore.pipeline.stage import TOKENS
from tests.pipeline.factories import Workshop


def lose_tokens(shop: Workshop, recipe) -> Path:
    path = shop.array(shop.keys(recipe).part("evaluate", TOKENS, 0))
    path.unlink()
    return path


def test_a_finished_run_is_measured_again_by_its_id(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = shop.recipe(seed=21)
    report = shop.run(recipe)
    lost = lose_tokens(shop, recipe)
    assert cli.main(["run", report.id[:8], "--ensure", "evaluate"]) == 0
    assert capsys.readouterr().out == f"{shop.keys(recipe).evaluate}\n"
    assert lost.exists()


def test_a_recipes_stage_is_had_before_any_run(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shop.data(calibration={"text": f"file:{shop.text}", "windows": 5, "length": 16})
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    before = set(shop.root.glob("reports/*.json"))
    assert cli.main(["run", str(file), "--ensure", "capture", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "capture"
    assert set(shop.root.glob("reports/*.json")) == before


def test_a_stage_that_is_none_and_an_id_that_is_none_are_refused(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    report = shop.run(shop.recipe(seed=21))
    assert cli.main(["run", report.id, "--ensure", "distil"]) == 1
    assert "choose load, reference" in capsys.readouterr().err
    assert cli.main(["run", "ffffffff", "--ensure", "evaluate"]) == 1
    assert "0 reports start with ffffffff" in capsys.readouterr().err


def test_a_report_prints_its_statistics_in_llamacpps_words(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    report = shop.run(shop.recipe(seed=21))
    assert cli.main(["report", report.id]) == 0
    said = capsys.readouterr().out
    assert "====== KL divergence statistics ======" in said
    assert "over 69 tokens" in said


def test_a_report_from_before_prints_statistics_from_the_cache_or_how_to_have_them(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = shop.recipe(seed=22)
    report = shop.run(recipe)
    path = shop.root / "reports" / f"{report.id}.json"
    plain = json.loads(path.read_text(encoding="utf-8"))
    statistics = plain.pop("tokens")
    assert statistics["tokens"] == 69
    path.write_text(json.dumps(plain), encoding="utf-8")
    assert cli.main(["report", report.id]) == 0
    assert "Mean    KLD" in capsys.readouterr().out
    lose_tokens(shop, recipe)
    assert cli.main(["report", report.id]) == 0
    output, errors = capsys.readouterr()
    assert "KLD" not in output
    assert f"run {report.id} --ensure evaluate" in errors
