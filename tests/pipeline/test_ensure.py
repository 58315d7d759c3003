"""A finished run's stages can be had again: as much is computed as was lost, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qcore.errors import InvalidRecipe
from qcore.pipeline import Session, ensure
from qcore.recipe import Recipe
from tests.pipeline.factories import BLOCKS, Workshop, numbers

GPTQ = {"rounding": {"method": "gptq"}}
MASSDIFF = {
    "rotation": {"block": 16},
    "permutation": {"method": "massdiff"},
    "activations": {"format": "int4_asym"},
}
BUDGET = {
    "weights": {"format": "int4"},
    "precision": {
        "formats": ["int4", "int6", "int8"],
        "budget": 5.5,
        "probe": {"windows": 2, "length": 16},
    },
}


def made(shop: Workshop, recipe: Recipe, stage: str) -> list[str]:
    """The stages that were computed for it."""
    shop.events = []
    key = ensure(
        recipe,
        stage,
        cache=shop.cache,
        emit=shop.events.append,
        root=shop.root,
        session=shop.session,
    )
    assert key == shop.keys(recipe).key(stage)
    assert all(shop.cache.has(entry) for entry in shop.keys(recipe).entries(stage, BLOCKS))
    ended = [event for event in shop.events if event.kind == "stage" and event.done]
    return [event.stage for event in ended if not event.cached]


def forget(shop: Workshop, recipe: Recipe, *stages: str) -> None:
    """Remove everything that these stages consist of, as eviction would."""
    for stage in stages:
        for key in shop.keys(recipe).entries(stage, BLOCKS):
            shop.array(key).unlink(missing_ok=True)
            shop.cache._records._forget(key)


def arrays(shop: Workshop, recipe: Recipe, stage: str) -> dict[str, torch.Tensor]:
    found = {}
    for key in shop.keys(recipe).entries(stage, BLOCKS):
        kept = shop.cache.artifact(key)
        assert kept is not None
        found |= {f"{key}.{name}": tensor.clone() for name, tensor in kept.tensors.items()}
    return found


@pytest.mark.parametrize(
    ("parts", "stage", "lost", "computed"),
    [
        (GPTQ, "capture", ["capture"], ["load", "capture"]),
        (GPTQ, "quantize", ["quantize"], ["load", "quantize"]),
        (GPTQ, "quantize", ["quantize", "capture"], ["load", "capture", "quantize"]),
        (GPTQ, "evaluate", ["evaluate", "capture"], ["load", "evaluate"]),
        (GPTQ, "evaluate", ["evaluate", "quantize"], ["load", "quantize", "evaluate"]),
        (GPTQ, "reference", ["reference", "capture"], ["load", "reference"]),
        (MASSDIFF, "evaluate", ["evaluate", "capture"], ["load", "capture", "evaluate"]),
        (MASSDIFF, "transform", ["transform"], ["load", "transform"]),
        (BUDGET, "sensitivity", ["sensitivity"], ["load", "sensitivity"]),
        (BUDGET, "sensitivity", ["sensitivity", "capture"], ["load", "capture", "sensitivity"]),
        (BUDGET, "assign", ["assign", "capture"], ["load", "assign"]),
        (BUDGET, "evaluate", ["evaluate", "assign"], ["load", "assign", "evaluate"]),
    ],
)
def test_what_was_lost_is_made_again_and_nothing_else(
    shop: Workshop, parts: dict[str, Any], stage: str, lost: list[str], computed: list[str]
) -> None:
    recipe = shop.recipe(**parts)
    report = shop.run(recipe)
    forget(shop, recipe, *lost)
    assert made(shop, recipe, stage) == computed
    again = shop.run(recipe)
    assert again.to_json() == report.to_json(), "the Report is the kept one"


def test_codes_and_captures_that_are_made_again_are_the_same(shop: Workshop) -> None:
    recipe = shop.recipe(**GPTQ)
    shop.run(recipe)
    for stage in ("capture", "quantize"):
        before = arrays(shop, recipe, stage)
        forget(shop, recipe, stage)
        made(shop, recipe, stage)
        after = arrays(shop, recipe, stage)
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in before)


def test_scores_that_are_made_again_are_the_same(shop: Workshop) -> None:
    recipe = shop.recipe(**MASSDIFF)
    report = shop.run(recipe)
    forget(shop, recipe, "evaluate", "transform")
    made(shop, recipe, "evaluate")
    (shop.root / "reports" / f"{report.id}.json").unlink()
    assert numbers(shop.run(recipe)) == numbers(report)


def test_one_lost_block_is_captured_alone(shop: Workshop) -> None:
    recipe = shop.recipe(**GPTQ)
    shop.run(recipe)
    shop.lose("capture", 1, recipe)
    kept = [shop.array(shop.keys(recipe).block("capture", block)) for block in (0, 2)]
    before = [file.stat().st_mtime_ns for file in kept]
    assert made(shop, recipe, "capture") == ["load", "capture"]
    assert [file.stat().st_mtime_ns for file in kept] == before


def test_a_stage_that_is_there_costs_nothing(shop: Workshop) -> None:
    recipe = shop.recipe(**GPTQ)
    shop.run(recipe)
    shop.session = Session(shop.root)
    assert made(shop, recipe, "quantize") == []
    assert [event.message for event in shop.events] == ["quantize: the cache has all of it"]
    assert shop.session._network is None


def test_a_stage_can_be_had_before_any_run_and_makes_no_report(shop: Workshop) -> None:
    recipe = shop.recipe(**GPTQ)
    assert made(shop, recipe, "capture") == ["load", "capture"]
    assert not list(shop.root.glob("reports/*.json"))
    assert shop.planned(recipe)["capture"]


@pytest.mark.parametrize("stage", ["sensitivity", "task piqa", "", "scales", "distil"])
def test_a_stage_that_the_recipe_lacks_is_refused_with_those_it_has(
    shop: Workshop, stage: str
) -> None:
    with pytest.raises(InvalidRecipe, match="choose load, reference, capture, quantize, evaluate"):
        made(shop, shop.recipe(**GPTQ), stage)


def test_the_network_is_as_it_was_after_a_stage_is_made_again(shop: Workshop) -> None:
    recipe = shop.recipe(**MASSDIFF)
    network = shop.session.network(shop.keys(recipe), lambda *_: None)
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    made(shop, recipe, "evaluate")
    after = network.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
