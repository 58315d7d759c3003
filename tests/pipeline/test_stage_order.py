"""A stage's outcome does not depend on which stages ran before it, or on what was cached."""

import random
from pathlib import Path

import pytest

from tests.models.folders import write_folder
from tests.pipeline.factories import Workshop, numbers

LENGTHS = (20, 40, 96)
ROPE = {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e4}


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network made for 32 tokens whose frequencies grow with longer texts."""
    folder = tmp_path_factory.mktemp("growing")
    return write_folder(folder, max_position_embeddings=32, rope_parameters=dict(ROPE))


def recipe(shop: Workshop, calibration: int, evaluation: int, **more):
    text = f"file:{shop.text}"
    return shop.recipe(
        calibration={"text": text, "windows": 2, "length": calibration},
        evaluation={"text": text, "windows": 2, "length": evaluation},
        **more,
    )


def test_data_free_rounding_gives_one_perplexity_whatever_the_calibration_length(
    growing: Path, prose: Path, tmp_path: Path
) -> None:
    found = set()
    for length in LENGTHS:
        shop = Workshop(tmp_path / str(length), growing, prose)
        report = shop.run(recipe(shop, length, 48, scales={"method": "absmax"}))
        found.add((report.window_losses, report.float_window_losses))
    assert len(found) == 1


def test_runs_in_any_order_give_what_each_gives_alone(
    growing: Path, prose: Path, tmp_path: Path
) -> None:
    gptq = {"rounding": {"method": "gptq", "inputs": "quantized"}, "rotation": {}}
    cases = [(a, b, more) for a in LENGTHS for b in (24, 64) for more in ({}, gptq)][::2]
    alone = {}
    for number, (a, b, more) in enumerate(cases):
        shop = Workshop(tmp_path / f"alone{number}", growing, prose)
        alone[number] = numbers(shop.run(recipe(shop, a, b, **more)))
    order = list(range(len(cases)))
    random.Random(3).shuffle(order)
    together = Workshop(tmp_path / "together", growing, prose)
    for number in order:
        a, b, more = cases[number]
        assert numbers(together.run(recipe(together, a, b, **more))) == alone[number]
