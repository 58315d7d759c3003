"""Reports made by hand, for pages to draw."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

from qcore.recipe import Recipe
from qcore.report.report import Environment, LayerReport, Metric, Report, StageReport, Volume
from qcore.report.summary import Summary


def report_of(
    recipe: Recipe, *, perplexity: float = 40.0, model: str = "tiny", **changes: Any
) -> Report:
    """A Report with every part filled."""
    bits = recipe.weights.value.bits_per_weight(576) if recipe.weights else 16.0
    layer = LayerReport(
        name="0.self_attn.q_proj",
        block=0,
        projection="q_proj",
        format=recipe.weights.format if recipe.weights else "float",
        parameters=1000,
        element_bits=recipe.weights.value.bits if recipe.weights else 16,
        bits_per_weight=bits,
        weight_error=0.01,
        output_error=0.002,
    )
    metrics = (
        Metric("perplexity", perplexity, "", "exp of the mean loss", 4088, perplexity * 0.9, 60.0),
        Metric("kl", perplexity / 400, "nats/token", "mean KL", 4088, 0.01, 0.3),
    )
    made = Report(
        id=hashlib.sha256(f"{recipe.digest}{model}".encode()).hexdigest()[:16],
        recipe=recipe,
        created=1_700_000_000.0,
        assignment={},
        layers=(layer,) if recipe.weights else (),
        metrics=metrics,
        window_losses=(math.log(perplexity),) * 2,
        float_window_losses=(math.log(30.0),) * 2,
        window_divergences=(),
        volume=Volume(int(bits * 1000), 100, 5000, bits, 8000, 10500),
        stages=(
            StageReport("load", "a" * 64, 1.5, True),
            StageReport("quantize", "b" * 64, 9, False),
        ),
        environment=Environment("cpu", model, "ab" * 32, "llama", {}, {"torch": "2.13.0"}),
        notes=("the baseline is dequantized from Q4_1",),
    )
    return replace(made, **changes)


def summary_of(recipe: Recipe, **values: Any) -> Summary:
    """The summary of such a Report."""
    return Summary.of(report_of(recipe, **values))
