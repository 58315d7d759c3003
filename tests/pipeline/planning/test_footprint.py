"""Sizes before loading against those of loaded networks; estimates against what runs then write."""

from __future__ import annotations

import shutil
from dataclasses import replace

import huggingface_hub.constants
import pytest

from qcore.errors import InvalidRecipe
from qcore.models.demo import demo_source
from qcore.models.families import FAMILIES
from qcore.pipeline import preview
from qcore.pipeline.planning import footprint
from qcore.pipeline.planning.history import History
from qcore.pipeline.planning.sizes import DEMO, sizes_of, sizes_of_config
from qcore.pipeline.planning.validation import require_fits
from qcore.pipeline.session import _sizes
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.library import Library
from tests.models.factories import tiny_model
from tests.pipeline.factories import Workshop

GPTQ = {"method": "gptq"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_sizes_from_the_config_are_those_of_the_loaded_network(family, tied):
    model = tiny_model(family, tie_word_embeddings=tied)
    assert sizes_of_config(model.config.to_dict()) == _sizes(model)


def test_the_demos_sizes_are_known_before_it_was_ever_dequantized(tmp_path, shop):
    source = demo_source(tmp_path)
    assert not source.folder.exists()
    assert sizes_of(source, "0" * 64, shop.cache) == DEMO


def test_a_config_without_sizes_is_known_by_none(shop: Workshop, tmp_path):
    keys = shop.keys(shop.recipe())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert sizes_of(replace(keys.inputs.source, folder=folder), "0" * 64, shop.cache) is None


@pytest.mark.parametrize(
    ("parts", "fact", "remedy"),
    [
        ({"rotation": {"block": 32}}, "block 32 does not divide 48", "choose 16, or leave"),
        (
            {"rotation": {"block": 64, "r4": False, "o_proj": True}},
            "block 64 does not divide 32",
            "choose 16 or 32, or",
        ),
        (
            {"rotation": {"block": 7, "o_proj": True}},
            "block 7 does not divide 48, the width of down_proj",
            "choose 16, or leave",
        ),
        (
            {"weights": {"format": "int4", "group": 10}},
            "group 10 of int4 does not divide",
            "choose",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(shop: Workshop, parts, fact, remedy):
    with pytest.raises(InvalidRecipe, match=fact) as told:
        preview([shop.recipe(**parts)], shop.cache, root=shop.root)
    assert remedy in told.value.remedy
    assert shop.session._network is None
    with pytest.raises(InvalidRecipe, match=fact):
        shop.run(shop.recipe(**parts))
    assert {event.stage for event in shop.events} == {"load"}


def test_a_block_that_divides_the_demo_but_not_what_it_is_asked_for_is_refused():
    with pytest.raises(InvalidRecipe, match="block 1024 does not divide 1536") as told:
        require_fits(Recipe.from_dict({"rotation": {"block": 1024}}), DEMO)
    assert told.value.remedy.startswith("choose 16, 32, 64, 128, 256 or 512, or")


def test_an_expansion_takes_a_size_that_its_block_divides():
    grown = {"rotation": {"block": 128, "o_proj": True}, "expansion": {"percent": 10}}
    require_fits(Recipe.from_dict(grown), DEMO)
    with pytest.raises(InvalidRecipe, match="block 128 does not divide 576"):
        require_fits(Recipe.from_dict({"rotation": {"block": 128, "o_proj": True}}), DEMO)


def test_the_disk_told_is_the_disk_taken(shop: Workshop):
    recipe = shop.recipe(rounding=GPTQ, weights={"format": "int4", "group": 16})
    told = preview([recipe], shop.cache, root=shop.root).disk
    before = shop.cache.size()
    shop.run(recipe)
    assert told == pytest.approx(shop.cache.size() - before, rel=0.15)
    more = shop.recipe(rounding=GPTQ, weights={"format": "int3"})
    told = preview([more], shop.cache, root=shop.root).disk
    sizes = sizes_of(shop.keys(more).inputs.source, shop.keys(more).load, shop.cache)
    left = [footprint.disk_bytes(stage, more, sizes) for stage in ("quantize", "evaluate")]
    assert told == sum(left), "the capture is there"


def test_memory_learns_how_far_the_last_runs_were_off(shop: Workshop):
    recipe = shop.recipe()
    sizes = sizes_of(shop.keys(recipe).inputs.source, shop.keys(recipe).load, shop.cache)
    first = preview([recipe], shop.cache, root=shop.root).memory
    assert first == footprint.memory_bytes(recipe, sizes)
    report = shop.run(recipe)
    assert report.environment.peak_bytes is not None
    other = shop.recipe(weights={"format": "int3"})
    told = preview([other], shop.cache, root=shop.root).memory
    assert told == pytest.approx(report.environment.peak_bytes, rel=0.01)


def test_memory_grows_with_what_a_recipe_does():
    def of(**parts) -> int:
        return footprint.memory_bytes(Recipe.from_dict(parts), DEMO)

    assert of(model={"dtype": "bfloat16"}) < of() < of(rotation={})
    assert of(weights=None) < of()
    long = {"text": "lambada/calibration", "windows": 512, "length": 2048}
    assert of() < of(calibration=long)


def test_the_history_follows_the_index(shop: Workshop):
    shop.run(shop.recipe())
    history = History(Index(Library(shop.root)))
    assert len(history.runs()) == 1
    assert history.runs() is history.runs()
    report = shop.run(shop.recipe(weights={"format": "int3"}))
    assert len(history.runs()) == 2
    assert history.runs()[0].recipe == report.recipe


def test_a_hub_model_that_is_not_here_is_neither_fetched_nor_refused(
    shop: Workshop, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def connect(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", connect)
    hub = shop.recipe(model={"source": "hub", "name": "someone/tiny"})
    told = preview([hub, shop.recipe()], shop.cache, root=shop.root)
    assert (told.runs, told.finished, told.unseen) == (2, 0, ("someone/tiny",))
    assert (told.seconds, told.memory, told.disk) == (None, None, None)
    assert told.stages == 5, "those of the other run"


def test_a_hub_model_that_is_here_is_told_about(shop: Workshop, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(shop.model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = shop.recipe(model={"source": "hub", "name": "someone/tiny"})
    told = preview([hub], shop.cache, root=shop.root)
    assert told.unseen == ()
    assert told.memory
    assert told.stages == 5
