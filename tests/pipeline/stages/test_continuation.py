"""Continuations as a stage of their own: asked for by name, kept, and no part of any run."""

from __future__ import annotations

import pytest

from qcore.analysis import continuations
from qcore.errors import InvalidRecipe
from qcore.pipeline import require_stage
from qcore.pipeline.stage import LONGEST_PROMPT, continuation_key, stage_names
from tests.models.factories import PROSE
from tests.pipeline.factories import Workshop
from tests.pipeline.test_ensure import made

PROMPT = " ".join(PROSE.split()[:5])
STAGE = f"continuation {PROMPT}"


@pytest.mark.parametrize(
    "parts",
    [
        {"rounding": {"method": "gptq"}},
        {"activations": {"format": "int4_asym"}, "rotation": {"block": 16}},
        {"weights": None, "calibration": None, "rotation": {"block": 16}},
    ],
)
def test_a_finished_runs_continuation_is_found_by_its_report(shop: Workshop, parts) -> None:
    recipe = shop.recipe(**parts)
    report = shop.run(recipe)
    assert continuations.said_by_run(report, PROMPT, shop.cache) is None
    assert made(shop, recipe, STAGE)[-1] == STAGE
    found = continuations.said_by_run(report, PROMPT, shop.cache)
    assert found is not None
    assert 1 <= len(found.tokens) <= 64
    assert made(shop, recipe, STAGE) == []


def test_the_float_networks_continuation_is_one_for_all_runs_of_it(shop: Workshop) -> None:
    a = shop.run(shop.recipe())
    b = shop.run(shop.recipe(weights={"format": "int8"}))
    made(shop, continuations.float_recipe(a), STAGE)
    found = continuations.said_by_float(a, PROMPT, shop.cache)
    assert found is not None
    assert continuations.said_by_float(b, PROMPT, shop.cache) == found


def test_a_rotated_float_network_says_what_the_plain_one_says(shop: Workshop) -> None:
    recipe = shop.recipe(weights=None, calibration=None, rotation={"block": 16})
    report = shop.run(recipe)
    made(shop, recipe, STAGE)
    made(shop, continuations.float_recipe(report), STAGE)
    rotated = continuations.said_by_run(report, PROMPT, shop.cache)
    assert rotated == continuations.said_by_float(report, PROMPT, shop.cache)


def test_the_key_by_the_report_is_the_key_by_the_recipe(shop: Workshop) -> None:
    recipe = shop.recipe(activations={"format": "int4_asym"})
    keys = shop.keys(recipe)
    assert continuation_key(keys.quantize, recipe, PROMPT) == keys.key(STAGE)
    assert keys.key(STAGE) != keys.key(f"{STAGE}.")


def test_a_run_does_not_go_through_it(shop: Workshop) -> None:
    recipe = shop.recipe()
    assert not any(name.startswith("continuation") for name in stage_names(recipe))
    assert STAGE not in shop.planned(recipe)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "no stage"),
        ("   ", "empty"),
        ("a" * (LONGEST_PROMPT + 1), "1,001 characters"),
        ("a\ud800", "half of a character"),
        ("a\0b", "NUL"),
    ],
)
def test_prompts_that_are_none_are_refused_before_anything_is_queued(
    shop: Workshop, prompt: str, said: str
) -> None:
    with pytest.raises(InvalidRecipe, match=said):
        require_stage(shop.recipe(), f"continuation {prompt}")
