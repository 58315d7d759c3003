"""A finished run and its capture, made by hand: two decoder blocks with planted outliers."""

from __future__ import annotations

from pathlib import Path

import torch

from cache.digest import digest
from cache.store import Cache
from qcore.calibration.statistics import Accumulator, BlockStatistics, SiteStatistics
from qcore.pipeline.keys import block_key
from qcore.recipe import Recipe
from qcore.report.report import Environment, LayerReport, Metric, Report, StageReport, Volume

WIDTHS = {"attention_input": 32, "attention_output": 32, "mlp_input": 32, "mlp_hidden": 96}
TOKENS = 100
KEY = digest("a capture")
LOUD = (5, 6)
"""Channels of every site that are 40 times as loud as the others; they share a block of 16."""


def tokens_of(width: int, seed: int = 0, loud: float = 40.0) -> torch.Tensor:
    """Gaussian tokens with two loud channels, float32."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(TOKENS, width, generator=generator)
    x[:, list(LOUD)] *= loud
    return x


def statistics_of(x: torch.Tensor) -> SiteStatistics:
    """What the capture stage keeps of these tokens."""
    accumulator = Accumulator(x.shape[1], len(x))
    accumulator.add(x)
    return accumulator.finish("site")


def fill(cache: Cache, key: str = KEY, blocks: int = 2) -> None:
    """Keep a capture of `blocks` decoder blocks; the later one is louder."""
    for block in range(blocks):
        sites = {
            name: statistics_of(tokens_of(width, seed=place + 10 * block, loud=20.0 * (block + 1)))
            for place, (name, width) in enumerate(WIDTHS.items())
        }
        cache.put_artifact(block_key(key, block), BlockStatistics(block, sites).to_tensors())


def report_of(number: int = 0, *, key: str = KEY, seed: int = 0) -> Report:
    """A Report whose capture stage has that key; `number` is its age, older ones first."""
    layers = tuple(
        LayerReport(f"{block}.mlp.down_proj", block, "down_proj", "int4", 3072, 4, 4.1, 0.01)
        for block in range(2)
    )
    return Report(
        id=f"{number:016x}",
        recipe=Recipe(seed=seed),
        created=1000.0 + number,
        assignment={},
        layers=layers,
        metrics=(Metric("perplexity", 20.1, "", "exp of the mean loss", 63),),
        window_losses=(3.0,),
        float_window_losses=(2.9,),
        window_divergences=(),
        volume=Volume(1536, 64, 4096, 4.1, 6144, 100_000),
        stages=(StageReport("load", digest("load"), 1.0, False),)
        + ((StageReport("capture", key, 2.0, False),) if key else ()),
        environment=Environment("cpu", "Tiny", "0" * 64, "Llama", {}, {}),
    )


def home_with(root: Path) -> Cache:
    """A home folder with that Report and that capture."""
    from qcore.report.library import Library

    Library(root).add(report_of())
    cache = Cache(root / "cache")
    fill(cache)
    return cache
