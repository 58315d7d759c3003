"""A home that the command line finds, with a tiny checkpoint in it; one for each file of tests.

What one file has run must not be found by the tests of another, which may come before or after it.
"""

import pytest

from tests.pipeline.factories import Workshop, write_checkpoint, write_text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("home")
    model = write_checkpoint(tmp_path_factory.mktemp("tiny-llama"))
    return Workshop(root, model, write_text(tmp_path_factory.mktemp("texts") / "prose.txt"))


@pytest.fixture(autouse=True)
def at_home(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))
