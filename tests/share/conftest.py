"""A home with three real runs of the tiny network, and a bundle of them; shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcore.report.labels import Labels
from qcore.report.report import Report
from qcore.share.bundle import write_bundle
from tests.pipeline.factories import Workshop, write_checkpoint, write_text


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("home")
    model = write_checkpoint(tmp_path_factory.mktemp("tiny-llama"))
    return Workshop(root, model, write_text(tmp_path_factory.mktemp("texts") / "prose.txt"))


@pytest.fixture(scope="session")
def reports(shop: Workshop) -> list[Report]:
    """RTN at four and at three bits, and four bits through rotated inputs."""
    return [
        shop.run(shop.recipe(weights={"format": "int4"})),
        shop.run(shop.recipe(weights={"format": "int3"})),
        shop.run(shop.recipe(weights={"format": "int4"}, rotation={"block": 16})),
    ]


@pytest.fixture(scope="session")
def bundled(shop: Workshop, reports: list[Report], tmp_path_factory) -> Path:
    labels = Labels(shop.root)
    labels.change([reports[0].id], name="the first", note="two\nlines", add_tags=["talk"])
    out = tmp_path_factory.mktemp("bundles") / "three.zip"
    write_bundle(out, reports, shop.cache, labels.all(), title="Three tiny runs")
    return out
