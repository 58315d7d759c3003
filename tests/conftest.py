"""What must stand before any test module is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.pipeline.factories import Workshop

# Triton reads this once, when it is first imported (transformers imports it, too). Without a GPU
# its kernels then run on the CPU, which is how the suite compares them with their references.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The same examples in every run, and no verdict that depends on how busy the machine is.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    absent = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.pipeline.factories import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.pipeline.factories import write_text

    return write_text(tmp_path_factory.mktemp("texts") / "prose.txt")


@pytest.fixture
def shop(tmp_path: Path, checkpoint: Path, prose: Path) -> Workshop:
    from tests.pipeline.factories import Workshop

    return Workshop(tmp_path, checkpoint, prose)
