"""Runs in a row: what a run before has made costs the next one nothing."""

from __future__ import annotations

from qcore.pipeline.planning.history import History
from qcore.pipeline.planning.schedule import Expected, schedule, total
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.library import Library
from tests.pipeline.factories import Workshop

GPTQ = {"rounding": {"method": "gptq"}}


def foreseen(shop: Workshop, *recipes: Recipe) -> list[dict[str, float | None]]:
    history = History(Index(Library(shop.root)))
    rows = schedule(recipes, shop.cache, root=shop.root, history=history)
    return [{stage.name: stage.seconds for stage in row} for row in rows]


def test_a_stage_that_two_runs_share_is_counted_in_the_first_of_them(shop: Workshop) -> None:
    shop.run(shop.recipe())
    shop.run(shop.recipe(**GPTQ))
    shop.cache.close()
    fresh = Workshop(shop.root, shop.model, shop.text)
    new = {"calibration": {"text": f"file:{shop.text}", "windows": 3, "length": 24}}
    first, second, done = foreseen(
        fresh,
        fresh.recipe(**GPTQ, **new),
        fresh.recipe(weights={"format": "int3"}, **GPTQ, **new),
        fresh.recipe(),
    )
    assert first["capture"]
    assert second["capture"] == 0.0
    assert first["reference"] == 0.0, "in the cache"
    assert second["quantize"]
    assert set(done.values()) == {0.0}, "an exact repeat"


def test_what_was_never_timed_is_unknown(shop: Workshop) -> None:
    (row,) = foreseen(shop, shop.recipe(**GPTQ))
    assert row["quantize"] is None
    assert total([Expected(name, seconds) for name, seconds in row.items()]) is None
    assert total([Expected("load", 2.0), Expected("capture", 0.0)]) == 2.0


def test_a_first_visit_has_something_to_go_by_for_the_demo_model(shop: Workshop) -> None:
    (row,) = foreseen(shop, Recipe())
    assert all(row.values())
    assert 10 < sum(seconds or 0 for seconds in row.values()) < 120


def test_a_model_that_is_not_there_is_unknown_and_no_error(shop: Workshop) -> None:
    gone = Recipe.from_dict({"model": {"source": "folder", "name": "/models/gone"}})
    (row,) = foreseen(shop, gone)
    assert set(row.values()) == {None}
