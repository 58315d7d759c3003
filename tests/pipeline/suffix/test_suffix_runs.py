"""Runs of networks that predict suffixes: the same recipe, stages, cache and reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cache.store import Cache
from qcore.errors import DataError, InvalidRecipe, QuantscopeError
from qcore.explore.compare import compare
from qcore.pipeline import Keys, ensure, preview, resolve_inputs, run, stage_names
from qcore.pipeline.suffix.training import losses_so_far
from qcore.progress import Event, silent
from qcore.recipe import Recipe
from qcore.report.report import Report

SMALL: dict[str, Any] = {
    "model": {"source": "suffix"},
    "suffix": {"cases": 120, "epochs": 3, "hidden": 8, "embedding": 8},
    "scales": {"method": "absmax"},
    "rounding": {"method": "rtn"},
}


@dataclass(frozen=True)
class Home:
    root: Path
    cache: Cache

    def recipe(self, **parts: Any) -> Recipe:
        return Recipe.from_dict({**SMALL, **parts})

    def run(self, **parts: Any) -> Report:
        return run(self.recipe(**parts), cache=self.cache, emit=lambda event: None, root=self.root)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    root = tmp_path_factory.mktemp("home")
    with_cache = Home(root, Cache(root / "cache"))
    yield with_cache
    with_cache.cache.close()


def value(report: Report, name: str) -> float:
    metric = report.metric(name)
    assert metric is not None
    return metric.value


def test_a_recipe_that_names_the_kind_alone_is_whole():
    recipe = Recipe.from_dict({"model": {"source": "suffix"}})
    assert recipe.suffix is not None
    assert recipe.evaluation.text == "log/test"
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_language_models_recipe_says_nothing_of_suffixes():
    assert "suffix" not in Recipe().to_dict()


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"rotation": {}}, "rotation turns the residual stream"),
        ({"evaluation": {"tasks": ["piqa"]}}, "zero-shot tasks"),
        ({"evaluation": {"text": "wikitext2/test"}}, "reads no text"),
        ({"model": {"source": "suffix", "dtype": "bfloat16"}}, "trained in float32"),
        ({"model": {"source": "demo"}, "suffix": {}}, "predicts no suffixes"),
        ({"suffix": {"embedding": 7}}, "embedding 7 is odd"),
        ({"suffix": {"fold": 5}}, "fold 5 is none of 5"),
        ({"suffix": {"columns": ["a"]}}, "1 columns are named"),
        ({"suffix": {"split": "file"}}, "fold file belongs"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], fact: str):
    with pytest.raises(InvalidRecipe, match=fact):
        Recipe.from_dict({"model": {"source": "suffix"}, **change})


def test_a_language_model_reads_no_cases():
    with pytest.raises(InvalidRecipe, match="cases of an event log are no text"):
        Recipe.from_dict({"evaluation": {"text": "log/test"}})


def test_the_float_network_is_reported_beside_its_baselines(home: Home):
    report = home.run(weights=None)
    assert report.suffix is not None
    assert set(report.suffix.baselines) == {"float", "lookup", "markov"}
    assert value(report, "similarity") == pytest.approx(report.suffix.baselines["float"])
    mean = sum(report.suffix.similarities) / len(report.suffix.similarities)
    assert mean == pytest.approx(value(report, "similarity"))
    assert value(report, "cross_entropy") == pytest.approx(
        sum(report.window_losses) / len(report.window_losses)
    )
    assert sum(row.prefixes for row in report.suffix.lengths) == report.suffix.prefixes
    assert report.metric("identical") is None
    assert Report.from_json(report.to_json()) == report


def test_runs_that_differ_in_rounding_share_the_training(home: Home):
    home.run(weights=None)
    report = home.run(weights={"format": "int4"})
    computed = [stage.name for stage in report.stages if not stage.cached]
    assert "train" not in computed
    assert "reference" not in computed
    assert "quantize" in computed


def test_eight_bits_leave_nearly_every_suffix_and_two_bits_do_not(home: Home):
    wide, narrow = home.run(weights={"format": "int8"}), home.run(weights={"format": "int2"})
    assert value(wide, "identical") > 0.9
    assert value(narrow, "identical") < value(wide, "identical")
    assert value(narrow, "kl") > value(wide, "kl")


def test_gptq_loses_less_of_the_outputs_than_rounding_to_nearest(home: Home):
    plain = home.run(weights={"format": "int3"})
    better = home.run(weights={"format": "int3"}, rounding={"method": "gptq"})
    ours, theirs = ({row.name: row.output_error for row in r.layers} for r in (better, plain))
    recurrent = [name for name in ours if "weight" in name]
    assert sum(ours[name] or 0 for name in recurrent) < sum(theirs[name] or 0 for name in recurrent)


@pytest.mark.parametrize(
    "parts",
    [
        {"weights": {"format": "mxfp4"}},
        {"weights": {"format": "int4", "group": 16}},
        {"weights": {"format": "int3_asym"}, "activations": {"format": "int8_asym"}},
        {"weights": {"format": "int4"}, "rounding": {"method": "gpfq"}},
        {
            "weights": {"format": "int4"},
            "rounding": {"method": "qronos", "inputs": "quantized"},
            "activations": {"format": "int8", "group": 16},
        },
        {
            "weights": {"format": "int4", "group": 16},
            "rounding": {"method": "gptq", "inputs": "quantized", "interleaving": "decoupled"},
        },
        {"weights": None, "activations": {"format": "int4_asym"}},
    ],
)
def test_formats_and_methods_apply_to_every_matrix(home: Home, parts: dict[str, Any]):
    report = home.run(**parts)
    if parts["weights"] is not None:
        assert len(report.layers) == 14
        assert {row.format for row in report.layers} == {parts["weights"]["format"]}
    assert 0 <= value(report, "similarity") <= 1


def test_padding_is_paid_for_beside_the_scales(home: Home):
    rows = {row.name: row for row in home.run(weights={"format": "mxfp4"}).layers}
    assert rows["encoder.0.weight_ih"].parameters == 24 * 14
    assert rows["encoder.0.weight_ih"].bits_per_weight == pytest.approx(4.25 * 32 / 14)


@pytest.mark.parametrize("method", ["uniform", "kl", "knapsack"])
def test_a_bit_budget_is_spent_on_the_matrices(home: Home, method: str):
    budget = {"method": method, "budget": 5, "formats": ["int4", "int8"]}
    report = home.run(weights={"format": "int4"}, precision=budget)
    assert report.precision is not None
    assert report.precision.bits <= 5
    assert set(report.assignment.values()) == {"int4", "int8"}


def test_a_training_that_was_stopped_goes_on_where_it_was(home: Home, tmp_path: Path):
    class Enough(Exception):
        pass

    def stop(event: Event) -> None:
        if event.stage == "train" and event.message.startswith("epoch 2: training"):
            raise Enough

    recipe, key = home.recipe(weights=None), ""
    with closing(Cache(tmp_path / "cache")) as cache:
        with pytest.raises(Enough):
            run(recipe, cache=cache, emit=stop, root=tmp_path)
        key = Keys(recipe, resolve_inputs(recipe, tmp_path)).key("train")
        assert [epoch.number for epoch in losses_so_far(tmp_path, key)] == [1, 2]
        again = run(recipe, cache=cache, emit=lambda event: None, root=tmp_path)
    whole = home.run(weights=None)
    assert again.suffix is not None
    assert whole.suffix is not None
    assert again.suffix.epochs == whole.suffix.epochs
    assert again.window_losses == whole.window_losses


def test_an_evicted_network_comes_back_from_the_home_without_training(home: Home, tmp_path: Path):
    told: list[str] = []
    with closing(Cache(tmp_path / "cache")) as cache:
        for _ in range(2):
            cache.clear()
            told.clear()
            ensure(
                home.recipe(),
                "train",
                cache=cache,
                emit=lambda event: told.append(event.message),
                root=tmp_path,
            )
    assert told
    assert not [line for line in told if ": training" in line]


def test_a_preview_knows_what_is_shared_and_what_is_done(home: Home):
    home.run(weights=None)
    home.run(weights={"format": "int8"})
    recipes = [home.recipe(weights=None), home.recipe(weights={"format": "int6"})]
    told = preview(recipes, home.cache, root=home.root)
    assert told.finished == 1
    assert told.cached >= 3


def test_a_preview_says_the_memory_that_a_training_needs(home: Home, tmp_path: Path):
    def needed(name: str = "", **changes: Any) -> int:
        part = {**SMALL["suffix"], **changes}
        recipe = Recipe.from_dict(
            {**SMALL, "suffix": part, "model": {"source": "suffix", "name": name}}
        )
        told = preview([recipe], home.cache, root=tmp_path).memory
        assert told is not None
        return told

    assert needed() > 300 << 20
    assert needed(hidden=512, rows=2048) > needed() + (100 << 20)
    rows = "".join(f"{i // 5},a{i % 5},2024-01-01 08:00:0{i % 5}\n" for i in range(100_000))
    (tmp_path / "log.csv").write_text("case,activity,time\n" + rows)
    assert needed(str(tmp_path / "log.csv")) > needed() + 100_000 * 200


def test_a_preview_learns_time_and_memory_from_the_network_that_was_trained(home: Home):
    done = home.run(weights=None)
    told = preview([home.recipe(weights={"format": "int5"})], home.cache, root=home.root)
    assert "train" not in told.untimed
    if done.environment.peak_bytes is not None:
        assert told.memory == done.environment.peak_bytes


def test_runs_of_one_network_are_compared_case_by_case(home: Home):
    base, other = home.run(weights=None), home.run(weights={"format": "int2"})
    (found,) = compare([base, other])
    by_name = {item.metric: item for item in found.differences}
    assert by_name["similarity"].paired
    assert by_name["similarity"].gap.value == pytest.approx(
        value(other, "similarity") - value(base, "similarity")
    )
    assert by_name["identical"].base == 1
    assert "perplexity" not in by_name


def test_networks_of_two_trainings_are_not_compared(home: Home):
    other = home.run(weights=None, seed=1)
    with pytest.raises(InvalidRecipe, match="different networks"):
        compare([home.run(weights=None), other])


def test_every_answer_has_its_own_reference(home: Home):
    for answer in ("beam", "expected"):
        report = home.run(weights=None, suffix={**SMALL["suffix"], "answer": answer})
        assert report.suffix is not None
        assert (report.suffix.alpha is not None) == (answer == "beam")


def test_the_latest_cases_test_in_a_split_by_time(home: Home):
    report = home.run(weights=None, suffix={**SMALL["suffix"], "split": "time"})
    assert report.suffix is not None
    assert report.suffix.cases == 24


CSV = "case,activity,time\n"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "is empty"),
        (CSV, "a header and no rows"),
        (CSV + "1,a,2024-01-01\n1,b,2024-01-02\n", "the log has 1 case"),
        (CSV + "1,a,2024-01-01\n2,a,2024-01-02\n", "all 2 events have the activity"),
        ("case,activity\n1,a\n", "named like the time"),
        (CSV + "1,a,yesterday\n2,b,2024-01-01\n", "cannot be read as times"),
        (CSV + "1,a,2024-01-01\n2,b,2024-01-01\n", "a prefix has 2 or more"),
    ],
)
def test_logs_that_nothing_can_learn_from_are_refused_in_a_sentence(
    home: Home, tmp_path: Path, content: str, fact: str
):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=fact):
        home.run(model={"source": "suffix", "name": str(path)}, weights=None)


def test_a_log_that_is_not_there_is_named(home: Home):
    with pytest.raises(DataError, match="no event log at /nowhere"):
        home.run(model={"source": "suffix", "name": "/nowhere/log.csv"})


def test_too_few_cases_for_five_folds_are_counted(home: Home, tmp_path: Path):
    path = tmp_path / "log.csv"
    rows = [f"{case},{act},2024-01-0{1 + at}" for case in range(4) for at, act in enumerate("abc")]
    path.write_text(CSV + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="4 cases cannot be divided into 5 folds"):
        home.run(model={"source": "suffix", "name": str(path)}, weights=None)


def test_a_stage_of_language_models_is_refused_by_name(home: Home):
    assert stage_names(home.recipe(weights=None)) == ["load", "train", "reference"]
    with pytest.raises(QuantscopeError, match="no stage 'transform'"):
        ensure(home.recipe(), "transform", cache=home.cache, emit=print, root=home.root)


def test_the_progress_of_a_training_tells_the_losses(home: Home, tmp_path: Path):
    told: list[Event] = []
    with closing(Cache(tmp_path / "cache")) as cache:
        ensure(home.recipe(), "train", cache=cache, emit=told.append, root=tmp_path)
    ends = [event for event in told if "nats per event" in event.message]
    assert [event.done for event in ends] == [1, 2, 3]
    silent(0, 0)
