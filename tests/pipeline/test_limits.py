"""What a recipe asks beyond what its network was made for is said before and after it ran."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qcore.errors import InvalidRecipe
from qcore.models.limits import length_notes
from qcore.models.regions import Dimensions
from qcore.pipeline import preview
from qcore.pipeline.planning.sizes import Sizes
from qcore.pipeline.planning.validation import require_fits
from qcore.recipe import Recipe
from tests.models.folders import write_folder
from tests.pipeline.factories import Workshop


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network made for 32 tokens."""
    return write_folder(tmp_path_factory.mktemp("short"), max_position_embeddings=32)


def asked(shop: Workshop, calibration: int, evaluation: int, **more):
    text = f"file:{shop.text}"
    return shop.recipe(
        calibration={"text": text, "windows": 2, "length": calibration},
        evaluation={"text": text, "windows": 2, "length": evaluation},
        **more,
    )


def test_windows_longer_than_the_networks_texts_are_noted_in_preview_and_report(
    short: Path, prose: Path, tmp_path: Path
) -> None:
    shop = Workshop(tmp_path, short, prose)
    recipe = asked(shop, 40, 48)
    expected = [
        "Calibration windows of 40 tokens are longer than the 32 tokens that the network was made "
        "for (max_position_embeddings).",
        "Evaluation windows of 48 tokens are longer than the 32 tokens that the network was made "
        "for (max_position_embeddings).",
    ]
    assert preview([recipe, recipe], shop.cache, root=shop.root).notes == (*expected,)
    assert list(shop.run(recipe).notes) == expected


def test_windows_as_long_as_the_networks_texts_are_not(
    short: Path, prose: Path, tmp_path: Path
) -> None:
    shop = Workshop(tmp_path, short, prose)
    assert shop.run(asked(shop, 32, 32)).notes == ()
    assert preview([asked(shop, 32, 32)], shop.cache, root=shop.root).notes == ()


def test_a_calibration_that_is_not_read_is_not_noted(shop: Workshop) -> None:
    recipe = asked(shop, 64, 16, weights=None)
    assert length_notes(recipe, 32) == []


def test_lengths_of_a_budgets_own_texts_are_looked_at(shop: Workshop) -> None:
    spent = {"method": "kl", "formats": ["int3", "int4"], "budget": 3.5}
    recipe = asked(
        shop, 16, 16, weights={"format": "int3"}, precision={**spent, "probe": {"length": 64}}
    )
    (note,) = length_notes(recipe, 32)
    assert note.startswith("Sensitivity windows of 64 tokens")
    learned = {"method": "dmx", "formats": ["mxfp4", "mxfp8_e4m3"], "budget": 6.0}
    parts = {"weights": {"format": "mxfp4"}, "activations": {"format": "mxfp4"}}
    recipe = asked(shop, 16, 16, precision={**learned, "training": {"length": 64}}, **parts)
    (note,) = length_notes(recipe, 32)
    assert note.startswith("Training windows of 64 tokens")


def test_a_network_whose_limit_is_not_known_has_no_notes(shop: Workshop) -> None:
    assert length_notes(asked(shop, 640, 640), None) == []


ODD = Sizes(
    Dimensions(hidden=64, intermediate=172, heads=4, kv_heads=2, head_dim=16, blocks=2),
    parameters=100_000,
    linear_parameters=90_000,
    tied_parameters=0,
)
"""Widths 64 and 172: what divides the first seldom divides the second."""

EVEN = replace(ODD, size=replace(ODD.size, intermediate=192))


def advised(remedy: str) -> list[int]:
    """The numbers that a remedy offers."""
    return [int(word) for word in re.findall(r"\d+", remedy)]


@pytest.mark.parametrize("part", ["weights", "activations"])
@pytest.mark.parametrize("group", [128, 24])
@pytest.mark.parametrize("facts", [ODD, EVEN])
def test_every_group_that_is_advised_fits_every_layer(part, group, facts) -> None:
    def grouped(size: int | None) -> Recipe:
        return Recipe.from_dict({part: {"format": "int4", "group": size}})

    with pytest.raises(InvalidRecipe, match=f"group {group} of int4 does not divide") as found:
        require_fits(grouped(group), facts)
    offered = advised(found.value.remedy)
    assert offered == ([] if facts is ODD else [16, 32, 64])
    for size in (*offered, None):  # leaving it out is advised too
        require_fits(grouped(size), facts)


@pytest.mark.parametrize("facts", [ODD, EVEN])
@pytest.mark.parametrize("grows", [None, {"percent": 5}])
@pytest.mark.parametrize("block", [128, 24])
def test_every_block_that_is_advised_fits_every_rotation(facts, grows, block) -> None:
    def rotated(size: int | None) -> Recipe:
        parts = {"rotation": {"block": size, "o_proj": True}, "expansion": grows}
        return Recipe.from_dict({name: part for name, part in parts.items() if part})

    try:
        require_fits(rotated(block), facts)
    except InvalidRecipe as error:
        offered = advised(error.remedy)
        assert offered
        for size in (*offered, None):
            require_fits(rotated(size), facts)
    else:
        assert grows


def test_an_mx_format_that_fits_no_width_advises_what_fits() -> None:
    with pytest.raises(InvalidRecipe, match=r"block 32 of mxfp4 does not divide 172 .*64 and 172"):
        require_fits(Recipe.from_dict({"weights": {"format": "mxfp4"}}), ODD)
    require_fits(Recipe.from_dict({"weights": {"format": "int4"}}), ODD)  # the remedy
