"""Boards of many runs as large as the demo model's, without a network."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

from qcore.recipe import Recipe
from qcore.report.report import LayerReport, Metric, Report
from tests.report.factories import report_of

BLOCKS = 30
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WINDOWS = 8


class Nothing:
    """A cache that has lost everything."""

    def record(self, key: str) -> Any:
        return None

    def put_record(self, key: str, value: Any) -> None:
        raise AssertionError("nothing is to be kept")

    def artifact(self, key: str) -> None:
        return None

    def has(self, key: str) -> bool:
        return False


def many_reports(count: int) -> list[Report]:
    """Runs of 210 layers whose errors, losses and metrics all differ."""
    draw = random.Random(0)
    return [_report(draw, at) for at in range(count)]


def unpacked(text: str) -> Any:
    """The data of a board, as its page unpacks it."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def with_tokens(data: dict[str, Any], runs: int = 4, tokens: int = 511) -> dict[str, Any]:
    """The data with random tokens for some of its runs, in the form that boards carry them."""
    draw = random.Random(1)
    text = [[f" w{draw.randrange(5000)}" for _ in range(tokens + 1)] for _ in range(WINDOWS)]

    def numbers() -> list[list[float]]:
        values = [[draw.lognormvariate(-3, 2) for _ in range(tokens)] for _ in range(WINDOWS)]
        return [[float(f"{value:.3g}") for value in row] for row in values]

    found = {
        run["id"]: {"text": 0, "loss": numbers(), "kl": numbers(), "deltaP": numbers()}
        for run in data["runs"][:runs]
    }
    return {**data, "tokens": {"texts": [text], "runs": found}}


def _report(draw: random.Random, at: int) -> Report:
    recipe = Recipe.from_dict(
        {
            "weights": {"format": f"int{2 + at % 7}", "group": (None, 16, 32, 64)[at % 4]},
            "rounding": {"method": ("rtn", "gptq")[at % 2]},
            "seed": at,
        }
    )
    bits = recipe.weights.value.bits_per_weight(576) if recipe.weights else 16.0
    layers = tuple(
        LayerReport(
            name=f"{block}.{'mlp' if 'up' in projection else 'self_attn'}.{projection}",
            block=block,
            projection=projection,
            format=recipe.weights.format if recipe.weights else "float",
            parameters=331_776,
            element_bits=4,
            bits_per_weight=bits,
            weight_error=draw.lognormvariate(-4, 1),
            output_error=draw.lognormvariate(-5, 1),
        )
        for block in range(BLOCKS)
        for projection in PROJECTIONS
    )
    losses = tuple(3.4 + draw.gauss(0, 0.3) + 1 / bits for _ in range(WINDOWS))
    rise = draw.lognormvariate(-2, 1)
    metrics = (
        Metric("perplexity", 30 + 10 * rise, "", "exp of the mean loss", 4088, 25.0, 60.0),
        Metric("loss_increase", rise, "nats/token", "mean", 4088, 0.5 * rise, 1.5 * rise),
        Metric("kl", 2 * rise, "nats/token", "mean KL", 4088, rise, 3 * rise),
        Metric("top1_agreement", 1 / (1 + rise), "", "share", 4088, 0.2, 0.99),
    )
    return report_of(
        recipe,
        layers=layers,
        metrics=metrics,
        window_losses=losses,
        float_window_losses=tuple(3.4 for _ in range(WINDOWS)),
        window_divergences=tuple(draw.lognormvariate(-2, 1) for _ in range(WINDOWS)),
    )
