"""The public face: what a notebook imports, and what it gets."""

import subprocess
import sys
from pathlib import Path

import pytest

import qcore
from qcore.errors import JobError
from tests.pipeline.factories import Workshop, write_checkpoint, write_text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    model = write_checkpoint(tmp_path_factory.mktemp("tiny-llama"))
    text = write_text(tmp_path_factory.mktemp("texts") / "prose.txt")
    return Workshop(tmp_path_factory.mktemp("home"), model, text)


@pytest.fixture(autouse=True)
def at_home(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))


def test_importing_the_face_waits_for_nothing_heavy() -> None:
    probe = (
        "import sys, qcore; qcore.Recipe, qcore.Report, qcore.run, qcore.sweep, qcore.library; "
        "print(sorted({'torch', 'transformers', 'numba', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(qcore, name) is not None for name in qcore.__all__)
    assert set(qcore.__all__) <= set(dir(qcore))
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = qcore.fly  # type: ignore[attr-defined]


def test_run_gives_the_librarys_report_and_shows_progress_on_standard_error(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = qcore.Recipe.from_dict(shop.data())
    report = qcore.run(recipe, device="cpu")
    output, errors = capsys.readouterr()
    assert output == ""
    assert "evaluate" in errors
    assert qcore.library().get(report.id) == report
    assert isinstance(report, qcore.Report)


def test_progress_can_be_silent(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    qcore.run(qcore.Recipe.from_dict(shop.data()), progress=False)
    assert capsys.readouterr() == ("", "")


def test_sweep_takes_recipes_or_one_with_lists_in_it(shop: Workshop) -> None:
    data = shop.data(weights={"format": ["int8", "int4"]})
    reports = qcore.sweep(data, progress=False)
    assert [report.recipe.weights.format for report in reports] == ["int8", "int4"]
    assert qcore.sweep([report.recipe for report in reports], progress=False) == reports


def test_a_failed_run_of_a_sweep_leaves_the_others_in_the_library(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shop.data(weights={"format": "int4", "group": [32, 16]})
    with pytest.raises(JobError, match=r"1 of 2 runs failed.*group 32 of int4 does not divide 48"):
        qcore.sweep(data, progress=False)
    assert any(report.recipe.weights.group == 16 for report in qcore.library().reports())
