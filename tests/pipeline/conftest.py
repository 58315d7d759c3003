"""One tiny checkpoint for all tests, and a fresh home for each."""

from pathlib import Path

import pytest

from tests.pipeline.workshop import Workshop, write_checkpoint, write_text


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("texts") / "prose.txt")


@pytest.fixture
def shop(tmp_path: Path, checkpoint: Path, prose: Path) -> Workshop:
    return Workshop(tmp_path, checkpoint, prose)
