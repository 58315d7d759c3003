"""Token records: what a run keeps of every token, and what happens when they are lost."""

from __future__ import annotations

import pytest
import torch

from qcore.evaluation.tokens import TokenScores
from qcore.pipeline.stage import PIECES, TOKENS
from qcore.recipe import Recipe
from tests.pipeline.factories import Workshop
from tests.pipeline.test_ensure import made

WINDOWS, SCORED = 3, 23


def tokens(shop: Workshop, recipe: Recipe, stage: str = "evaluate") -> list[TokenScores]:
    found = []
    for window in range(WINDOWS):
        kept = shop.cache.artifact(shop.keys(recipe).part(stage, TOKENS, window))
        assert kept is not None
        found.append(TokenScores.from_tensors(kept.tensors))
    return found


def lose(shop: Workshop, recipe: Recipe, window: int, stage: str = "evaluate") -> None:
    shop.array(shop.keys(recipe).part(stage, TOKENS, window)).unlink()


def test_a_runs_windows_are_the_means_of_its_tokens(shop: Workshop) -> None:
    recipe = shop.recipe()
    report = shop.run(recipe)
    kept = tokens(shop, recipe)
    assert [len(window.loss) for window in kept] == [SCORED] * WINDOWS
    means = [float(window.loss.double().mean()) for window in kept]
    assert means == list(report.window_losses)
    floats = [float(w.float_loss.double().mean()) for w in kept if w.float_loss is not None]
    assert floats == list(report.float_window_losses)
    assert sum(part.nbytes for part in kept[0].to_tensors().values()) == 17 * SCORED


def test_a_reports_statistics_are_those_of_an_independent_computation(shop: Workshop) -> None:
    recipe = shop.recipe(weights={"format": "int2"})
    report = shop.run(recipe)
    kept = tokens(shop, recipe)
    found = report.tokens
    assert found is not None

    def together(name: str) -> torch.Tensor:
        return torch.cat([getattr(window, name).double() for window in kept])

    kl, gap, change = together("kl"), together("loss") - together("float_loss"), together("delta_p")
    count = len(kl)
    assert found.tokens == count == WINDOWS * SCORED
    expected = {
        "mean": kl.mean(),
        "error": kl.std() / count**0.5,
        "90": kl.quantile(0.9),
        "99": kl.quantile(0.99),
        "99.9": kl.quantile(0.999),
        "most": kl.max(),
        "rms": change.square().mean().sqrt(),
        "ratio": gap.mean(),
        "correlation": torch.corrcoef(torch.stack([together("loss"), together("float_loss")]))[
            0, 1
        ],
    }
    said = {
        "mean": found.kl.value,
        "error": found.kl.error,
        "90": found.kl_quantiles["0.9"],
        "99": found.kl_quantiles["0.99"],
        "99.9": found.kl_quantiles["0.999"],
        "most": found.kl_most,
        "rms": found.delta_p_rms.value,
        "ratio": found.log_ratio.value,
        "correlation": found.correlation,
    }
    assert said == pytest.approx({name: float(x) for name, x in expected.items()}, rel=1e-6)


def test_statistics_survive_the_report(shop: Workshop) -> None:
    report = shop.run(shop.recipe())
    assert type(report).from_json(report.to_json()).tokens == report.tokens


def test_the_text_is_kept_token_by_token(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    keys = shop.keys(recipe)
    network = shop.session.network(keys, lambda *_: None)
    pieces = shop.cache.record(keys.part("reference", PIECES, 0))
    assert len(pieces) == SCORED + 1
    text = shop.text.read_text(encoding="utf-8")
    ids = network.tokenizer(text)["input_ids"][: SCORED + 1]
    assert "".join(pieces) == network.tokenizer.decode(ids)


def test_lost_tokens_are_measured_again_and_nothing_else(shop: Workshop) -> None:
    recipe = shop.recipe(rounding={"method": "gptq"})
    report = shop.run(recipe)
    before = tokens(shop, recipe)
    lose(shop, recipe, 1)
    assert not shop.planned(recipe)["evaluate"]
    assert made(shop, recipe, "evaluate") == ["load", "evaluate"]
    after = tokens(shop, recipe)
    assert all(torch.equal(a.loss, b.loss) for a, b in zip(before, after, strict=True))
    assert shop.run(recipe).to_json() == report.to_json()


def test_a_score_that_is_known_stays_when_its_tokens_are_measured_again(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    key = shop.keys(recipe).window("evaluate", 0)
    known = {**shop.cache.record(key), "loss": 1.25}
    shop.cache.put_record(key, known)
    lose(shop, recipe, 0)
    made(shop, recipe, "evaluate")
    assert shop.cache.record(key) == known


def test_torn_tokens_are_measured_again(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    key = shop.keys(recipe).part("evaluate", TOKENS, 0)
    shop.cache.put_artifact(key, {"kl": torch.ones(3)})
    report = shop.root / "reports" / f"{shop.keys(recipe).report}.json"
    report.unlink()
    assert shop.run(recipe).tokens is not None
    assert len(tokens(shop, recipe)[0].loss) == SCORED


def test_the_float_network_keeps_its_own_tokens(shop: Workshop) -> None:
    recipe = shop.recipe(weights=None, calibration=None)
    report = shop.run(recipe)
    assert report.tokens is None
    kept = tokens(shop, recipe, "reference")
    means = [float(window.loss.double().mean()) for window in kept]
    assert means == list(report.window_losses)
    lose(shop, recipe, 2, "reference")
    assert made(shop, recipe, "reference") == ["load", "reference"]


def test_a_quantized_run_does_not_ask_for_the_float_networks_tokens(shop: Workshop) -> None:
    recipe = shop.recipe()
    shop.run(recipe)
    lose(shop, recipe, 0, "reference")
    assert shop.planned(recipe)["reference"]


def test_without_divergence_there_are_losses_and_no_statistics(shop: Workshop) -> None:
    text = {"text": f"file:{shop.text}", "windows": 3, "length": 24, "divergence": False}
    recipe = shop.recipe(evaluation=text)
    report = shop.run(recipe)
    assert report.tokens is None
    kept = tokens(shop, recipe)
    assert all(window.kl is None and window.float_loss is None for window in kept)
