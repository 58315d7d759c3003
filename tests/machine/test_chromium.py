"""An installed Chromium is found before a downloaded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcore.machine.chromium import find_chromium


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only programs are those that the test puts there."""
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    return tmp_path


def test_without_any_there_is_none(bare: Path):
    assert find_chromium() is None


def test_the_one_on_the_path_is_found(bare: Path):
    installed = executable(bare / "bin" / "chromium")
    assert find_chromium() == installed


def test_the_one_that_the_user_names_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch):
    executable(bare / "bin" / "chromium")
    named = executable(bare / "elsewhere" / "browser")
    monkeypatch.setenv("CHROMIUM", str(named))
    assert find_chromium() == named


def test_the_newest_download_is_used_when_none_is_installed(bare: Path):
    executable(bare / "playwright" / "chromium-999" / "chrome-linux" / "chrome")
    newest = executable(bare / "playwright" / "chromium-1234" / "chrome-linux64" / "chrome")
    assert find_chromium() == newest


def test_a_file_that_cannot_be_run_is_no_browser(bare: Path):
    path = executable(bare / "playwright" / "chromium-1" / "chrome-linux" / "chrome")
    path.chmod(0o644)
    assert find_chromium() is None
