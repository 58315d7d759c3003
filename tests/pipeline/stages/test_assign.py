"""A bit budget from the recipe to the Report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.pipeline.stages import sensitivity
from qcore.pipeline.stages.sensitivity import cached
from qcore.progress import Event
from tests.models.factories import SIZES, tiny_tokenizer
from tests.pipeline.factories import BLOCKS, PARAMETERS, Workshop, numbers, stages, value

INT = {"formats": ["int4", "int6", "int8"], "budget": 5.5, "probe": {"windows": 2, "length": 16}}
WEIGHTS = {"format": "int4"}


def spend(shop: Workshop, recipe_parts: dict | None = None, **precision):
    return shop.run(
        shop.recipe(weights=WEIGHTS, precision={**INT, **precision}, **(recipe_parts or {}))
    )


def bits(report) -> float:
    spent = sum(row.parameters * row.element_bits for row in report.layers)
    return spent / sum(row.parameters for row in report.layers)


@pytest.mark.parametrize("method", ["uniform", "random", "kl", "knapsack"])
def test_every_method_ends_at_the_budget_and_says_what_it_chose(
    shop: Workshop, method: str
) -> None:
    report = spend(shop, method=method)
    assert report.precision is not None
    assert report.precision.bits == pytest.approx(bits(report))
    assert bits(report) <= 5.5
    assert {row.name: row.format for row in report.layers} == report.assignment
    assert set(report.assignment.values()) <= {"int4", "int6", "int8"}
    assert report.volume.element_bytes * 8 >= bits(report) * sum(PARAMETERS.values()) * BLOCKS - 8


def test_layers_that_a_server_fuses_share_a_format(shop: Workshop) -> None:
    for row in (report := spend(shop, method="random")).layers:
        twin = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
        if row.projection in twin:
            other = row.name.replace(row.projection, twin[row.projection])
            assert report.assignment[other] == row.format


def test_unfused_layers_keep_their_order_and_their_own_inputs(shop: Workshop) -> None:
    pins = [{"layer": "k_proj", "format": "int8"}]
    activations = {"format": "int4_asym"}
    one = spend(shop, {"activations": activations}, method="uniform", fused=False, pins=pins)
    names = [row.name for row in one.layers]
    assert names == sorted(
        names,
        key=lambda name: (int(name.split(".")[0]), list(PARAMETERS).index(name.rsplit(".", 1)[1])),
    )
    assert one.assignment["0.self_attn.k_proj"] == "int8"
    alone = spend(
        shop, {"activations": activations}, method="uniform", fused=False, pins=pins, shared=False
    )
    assert value(one, "kl") < value(alone, "kl")  # k_proj's inputs are 8 bits wide in the first


def test_a_manual_assignment_gives_the_numbers_of_the_run_it_was_taken_from(
    shop: Workshop,
) -> None:
    found = spend(shop, method="knapsack")
    pins = [{"layer": name, "format": fmt} for name, fmt in found.assignment.items()]
    given = spend(shop, method="manual", budget=None, pins=pins)
    assert given.assignment == found.assignment
    assert numbers(given) == numbers(found)


def test_all_layers_in_one_format_is_the_uniform_run(shop: Workshop) -> None:
    mixed = spend(shop, method="uniform", budget=6)
    plain = shop.run(shop.recipe(weights={"format": "int6"}))
    assert numbers(mixed) == numbers(plain)


def test_a_new_budget_measures_no_sensitivity_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(shop, method="knapsack")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(sensitivity, "measure", forbidden)
    other = spend(shop, method="kl", budget=7)
    assert stages(other)["sensitivity"]
    assert not stages(other)["assign"]


def test_sensitivities_can_be_asked_of_the_cache(shop: Workshop) -> None:
    recipe = shop.recipe(weights=WEIGHTS, precision=INT)
    assert cached(recipe, shop.cache, root=shop.root) is None
    shop.run(recipe)
    table = cached(recipe, shop.cache, root=shop.root)
    assert table is not None
    assert len(table.layers) == BLOCKS * len(PARAMETERS)
    assert table.formats == ("int4", "int6", "int8")
    assert all(row[0] > row[2] for row in table.kl)  # 4 bits cost more than 8
    assert all(row[0] > row[2] for row in table.proxy)


def test_a_repeated_budget_is_served_from_the_cache(shop: Workshop) -> None:
    first = spend(shop, method="knapsack")
    (shop.root / "reports" / f"{first.id}.json").unlink()
    again = spend(shop, method="knapsack")
    assert all(stages(again).values())
    assert again.precision == first.precision


def test_mixed_formats_are_rounded_on_quantized_inputs_too(shop: Workshop) -> None:
    report = spend(shop, {"rounding": {"method": "gptq", "inputs": "quantized"}}, method="kl")
    assert {row.element_bits for row in report.layers} <= {FORMATS[n].bits for n in INT["formats"]}


@pytest.fixture(scope="module")
def mx_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose widths are all divisible by 32."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LlamaForCausalLM(LlamaConfig(**{**SIZES, "intermediate_size": 64}))
    folder = tmp_path_factory.mktemp("wide-llama")
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


DMX = {
    "method": "dmx",
    "formats": ["mxfp4", "mxfp8_e4m3"],
    "budget": 6.0,
    "training": {"steps": 30, "length": 16},
}


def learn(shop: Workshop, **precision):
    return shop.recipe(
        weights={"format": "mxfp4"},
        activations={"format": "mxfp4"},
        precision={**DMX, **precision},
    )


def test_dmx_ends_near_its_budget_and_shows_how_it_got_there(
    tmp_path: Path, mx_checkpoint: Path, prose: Path
) -> None:
    shop = Workshop(tmp_path, mx_checkpoint, prose)
    report = shop.run(learn(shop))
    assert report.precision is not None
    assert abs(report.precision.bits - 6.0) <= 0.5  # 15 units: one weighs that much
    trajectory = report.precision.trajectory
    assert trajectory is not None
    assert set(trajectory.offsets) == set(report.assignment)
    assert len(trajectory.loss) == len(trajectory.steps) == len(trajectory.bits)
    assert shop.run(learn(shop)).to_json() == report.to_json()


@pytest.mark.timeout(900)  # three trainings: minutes where several suites share a core
def test_a_killed_dmx_run_continues_and_ends_where_an_unbroken_one_does(
    tmp_path: Path, mx_checkpoint: Path, prose: Path
) -> None:
    shop = Workshop(tmp_path / "broken", mx_checkpoint, prose)

    short = {**DMX["training"], "steps": 24}

    class Killed(Exception):
        pass

    def emit(event: Event) -> None:
        if event.stage == "assign" and event.done == 23:
            raise Killed

    with pytest.raises(Killed):
        shop.run(learn(shop, training=short), emit)
    seen: list[int] = []
    resumed = shop.run(
        learn(shop, training=short),
        lambda event: event.stage == "assign" and seen.append(event.done),
    )
    assert 0 not in [done for done in seen if done < 20][1:]
    unbroken = Workshop(tmp_path / "whole", mx_checkpoint, prose)
    assert resumed.precision == unbroken.run(learn(unbroken, training=short)).precision


@pytest.mark.parametrize(
    ("precision", "says"),
    [
        ({"pins": [{"layer": "9", "format": "int8"}]}, "9"),
        (
            {
                "pins": [
                    {"layer": "0.self_attn.q_proj", "format": "int8"},
                    {"layer": "0.self_attn.k_proj", "format": "int4"},
                ]
            },
            "q_proj",
        ),
        ({"objective": "bytes", "budget": 3.0}, "3"),
        (
            {"method": "manual", "budget": None, "pins": [{"layer": "0", "format": "int8"}]},
            "pin",
        ),
    ],
)
def test_a_budget_that_cannot_be_spent_is_refused_and_nothing_is_lost(
    shop: Workshop, precision: dict, says: str
) -> None:
    with pytest.raises(InvalidRecipe, match=says):
        spend(shop, **precision)
    assert spend(shop, method="uniform").precision is not None
