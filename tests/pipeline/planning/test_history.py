"""What estimates learn from past runs, and what they must not learn."""

from __future__ import annotations

from qcore.pipeline.planning.history import Past, seconds_of
from qcore.recipe import Recipe
from qcore.report.report import StageReport
from tests.pipeline.factories import Workshop

MODEL = "ab" * 32


def past(load: float, created: float) -> Past:
    return Past(Recipe(), created, MODEL, (StageReport("load", "k", load, False),), None)


def test_a_load_that_found_the_network_in_memory_teaches_nothing() -> None:
    runs = [past(0.002, 3.0), past(1.4, 2.0), past(20.0, 1.0)]
    assert seconds_of("load", Recipe(), MODEL, runs) == 1.4
    assert seconds_of("load", Recipe(), MODEL, runs[:1]) == 0.002
    assert seconds_of("load", Recipe(), "other", runs) is None


def test_the_peak_of_a_process_is_told_of_the_first_run_in_it_alone(shop: Workshop) -> None:
    first = shop.run(shop.recipe())
    second = shop.run(shop.recipe(rounding={"method": "gptq"}))
    assert first.environment.peak_bytes
    assert second.environment.peak_bytes is None
