"""What is said before a run, against what the run then does; and how long asking takes."""

import subprocess
import sys
from pathlib import Path

from qcore.pipeline import preview
from tests.pipeline.factories import Workshop, stages

ROOT = Path(__file__).parents[3]
GPTQ = {"rounding": {"method": "gptq"}}
HEAVY = ("torch", "transformers", "scipy", "pandas", "numba", "datasets", "lm_eval", "streamlit")


def test_the_plan_says_what_the_run_then_does(shop: Workshop) -> None:
    more = {"evaluation": {"text": f"file:{shop.text}", "windows": 4, "length": 24}}
    for parts in ({}, GPTQ, {**GPTQ, **more}, {"weights": None}, {"weights": None, **more}):
        recipe = shop.recipe(**parts)
        planned = shop.planned(recipe)
        assert stages(shop.run(recipe)) == planned


def test_a_finished_run_is_planned_as_cached_throughout(shop: Workshop) -> None:
    shop.run(shop.recipe())
    assert set(shop.planned(shop.recipe()).values()) == {True}


def test_a_lost_block_is_planned_and_only_that_stage(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    shop.lose("quantize", 1, recipe)
    planned = shop.planned(recipe)
    assert [stage for stage, cached in planned.items() if not cached] == ["load", "quantize"]


def test_a_preview_counts_distinct_stages_and_the_runs_that_are_done(shop: Workshop) -> None:
    recipes = [shop.recipe(weights={"format": f"int{bits}"}, **GPTQ) for bits in (3, 4, 8)]
    told = preview(recipes, shop.cache, root=shop.root)
    assert (told.runs, told.finished) == (3, 0)
    assert told.stages == 3 + 3 * 2, "load, reference and capture once; the rest for each"
    assert (told.shared, told.cached) == (3, 0)
    assert told.seconds is None, "nothing was ever timed"
    shop.run(recipes[0])
    told = preview(recipes, shop.cache, root=shop.root)
    assert (told.runs, told.finished) == (3, 1)
    assert (told.stages, told.cached) == (7, 2), "reference and capture are there"
    assert told.seconds is not None


def test_a_preview_counts_the_load_that_one_of_its_runs_needs(shop: Workshop) -> None:
    done, new = shop.recipe(), shop.recipe(**GPTQ)
    report = shop.run(done)
    (shop.root / "reports" / f"{report.id}.json").unlink()
    for order in ([done, new], [new, done]):
        told = preview(order, shop.cache, root=shop.root)
        assert told.stages - told.cached == 3, "load, quantize and evaluate of the new one"


def test_expected_time_grows_with_the_windows(shop: Workshop) -> None:
    shop.run(shop.recipe())

    def seconds(windows: int) -> float:
        text = {"text": f"file:{shop.text}", "windows": windows, "length": 25}
        told = preview([shop.recipe(evaluation=text)], shop.cache, root=shop.root).seconds
        assert told is not None
        return told

    assert seconds(30) - seconds(20) > 0


def _imported_after(code: str, *arguments: str) -> str:
    ask = f"{code}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", ask, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_sensitivities_that_were_never_timed_are_counted_in_probes(shop: Workshop) -> None:
    part = {"method": "knapsack", "budget": 5.0, "formats": ["int4", "int8"]}
    recipe = shop.recipe(precision=part)
    told = preview([recipe], shop.cache, root=shop.root)
    assert "sensitivity" in told.untimed
    shop.run(recipe)
    counted = [event.total for event in shop.events if event.stage == "sensitivity"]
    assert told.probes == max(counted)


def test_asking_for_a_plan_or_a_repeat_does_not_wait_for_torch(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    code = """
import sys
from pathlib import Path
from cache.store import Cache
from qcore.pipeline import plan, preview, run
from qcore.recipe import Recipe
recipe, root = Recipe.from_json(sys.argv[1]), Path(sys.argv[2])
store = Cache(root / "cache")
assert all(stage.cached for stage in plan(recipe, store, root=root))
assert preview([recipe], store, root=root).finished == 1
run(recipe, cache=store, emit=lambda event: None, root=root)
""".strip().replace("\n", "; ")
    assert _imported_after(code, recipe.to_json(), str(shop.root)) == "[]"


def test_the_command_line_starts_without_torch() -> None:
    assert _imported_after("import qcore.cli, qcore.jobs.worker, qcore.pipeline") == "[]"
