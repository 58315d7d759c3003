"""Networks of every family through whole runs, and what some have no place for."""

from __future__ import annotations

import pytest
import torch

from qcore.errors import UnsupportedModel
from qcore.models.families import FAMILIES
from qcore.pipeline.planning.preview import preview
from qcore.progress import silent
from qcore.recipe import Recipe
from tests.models.factories import ROTATED, tiny_model
from tests.pipeline.factories import Workshop, value, write_checkpoint

NEW = sorted(set(FAMILIES) - {"llama", "qwen2", "qwen3"})
W4A8 = {
    "weights": {"format": "int4"},
    "activations": {"format": "int8"},
    "rotation": {"block": 16},
    "permutation": {"method": "massdiff"},
    "scales": {"method": "absmax"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {name: write_checkpoint(root / name, name) for name in NEW}


def shop_of(name, folders, tmp_path, prose) -> Workshop:
    return Workshop(tmp_path, folders[name], prose)


@pytest.mark.parametrize("name", NEW)
def test_every_rounding_method_runs_in_a_rotated_network(name, folders, tmp_path, prose):
    shop = shop_of(name, folders, tmp_path, prose)
    parts = W4A8 | {"rotation": {"block": 16, "r1": name in ROTATED}}
    losses = {}
    for method in ("rtn", "gptq", "gpfq", "qronos"):
        report = shop.run(shop.recipe(**parts, rounding={"method": method}))
        losses[method] = value(report, "kl")
    assert len(set(losses.values())) == 4
    assert all(0 < loss < 10 for loss in losses.values())


@pytest.mark.parametrize("name", NEW)
def test_the_float_perplexity_is_that_of_the_networks_own_logits(name, folders, tmp_path, prose):
    shop = shop_of(name, folders, tmp_path, prose)
    recipe = Recipe.from_dict({**shop.data(), "scales": {}, "rounding": {}, "weights": None})
    report = shop.run(recipe)
    text = shop.session.network(shop.keys(recipe), silent).tokenizer(prose.read_text())
    model = tiny_model(name)
    for at, loss in enumerate(report.float_window_losses):
        window = torch.tensor([text["input_ids"][24 * at : 24 * (at + 1)]])
        with torch.no_grad():
            own = model(window, labels=window, use_cache=False).loss
        assert loss == pytest.approx(float(own), rel=1e-5)


@pytest.mark.parametrize("name", sorted(set(NEW) - set(ROTATED)))
def test_r1_is_refused_before_anything_runs(name, folders, tmp_path, prose):
    shop = shop_of(name, folders, tmp_path, prose)
    with pytest.raises(UnsupportedModel, match="R1") as told:
        preview([shop.recipe(**W4A8)], shop.cache, root=shop.root)
    assert "r1 to false" in told.value.remedy
    with pytest.raises(UnsupportedModel, match="R1"):
        shop.run(shop.recipe(**W4A8))
    assert shop.session._network is None
