"""`waterfall`: what it prints, names and runs, and what it refuses."""

import json

import pytest

from qcore import cli
from qcore.report.library import Library
from tests.pipeline.factories import Workshop


@pytest.fixture(scope="module")
def run(shop: Workshop) -> str:
    recipe = shop.recipe(scales={"method": "mse"}, rounding={"method": "gptq"})
    return shop.run(recipe).id


def test_missing_steps_are_named_priced_and_then_run(run: str, shop: Workshop, capsys) -> None:
    assert cli.main(["waterfall", run[:8]]) == 1
    told = capsys.readouterr()
    assert told.err.count("missing: W INT4") == 3
    assert "3 runs" in told.err
    assert "--run runs them" in told.err
    before = len(list(Library(shop.root).reports()))
    assert cli.main(["waterfall", run, "--run", "--json"]) == 0
    assert len(list(Library(shop.root).reports())) == before + 3
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == run
    loss, kl = found["waterfalls"]
    assert (loss["metric"], kl["metric"]) == ("loss", "kl")
    assert [row["step"] for row in loss["added"]] == ["round to nearest", "+ MSE", "+ GPTQ"]
    assert [row["step"] for row in loss["left_out"]] == ["− MSE", "− GPTQ"]
    assert loss["added"][-1]["run"] == run
    # Without GPTQ the run is the step before it.
    assert loss["left_out"][-1]["run"] == loss["added"][1]["run"]
    gaps = [row["difference"]["value"] for row in loss["added"][1:]]
    assert sum(gaps) == pytest.approx(loss["whole"]["value"])
    assert loss["added"][1]["difference"]["count"] == loss["windows"] == 3


def test_once_all_is_there_it_is_printed_for_people_and_issues(run: str, capsys) -> None:
    cli.main(["waterfall", run, "--run"])
    said = capsys.readouterr().out
    assert "Added, in this order" in said
    assert "Left out of the run" in said
    assert cli.main(["waterfall", run, "--markdown"]) == 0
    assert "| + GPTQ |" in capsys.readouterr().out


def test_a_run_without_techniques_and_an_unknown_one_are_refused(shop: Workshop, capsys) -> None:
    plain = shop.run(shop.recipe(scales={"method": "absmax"}))
    assert cli.main(["waterfall", plain.id]) == 1
    assert "plain basis already" in capsys.readouterr().err
    floating = shop.run(shop.recipe(weights=None))
    assert cli.main(["waterfall", floating.id]) == 1
    assert "is the float network" in capsys.readouterr().err
    assert cli.main(["waterfall", "ffffffffffff"]) == 1
    assert "quantscope: " in capsys.readouterr().err
