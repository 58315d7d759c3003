"""A tiny checkpoint, a text, and a home to run recipes in: what the pipeline's tests share."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from cache.store import Cache
from qcore.pipeline import Keys, Session, plan, resolve_inputs, run
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.report.report import Report
from tests.models.factories import PROSE, tiny_model, tiny_tokenizer

BLOCKS = 3
PARAMETERS = {"q_proj": 32 * 32, "k_proj": 16 * 32, "v_proj": 16 * 32, "o_proj": 32 * 32} | {
    "gate_proj": 48 * 32,
    "up_proj": 48 * 32,
    "down_proj": 32 * 48,
}
"""Weights of each linear of the tiny network."""


def write_checkpoint(folder: Path, family: str = "llama") -> Path:
    """A random network in Hugging Face layout."""
    tiny_model(family).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def write_text(path: Path, seed: int = 0, words: int = 3000) -> Path:
    """Words in random order."""
    vocabulary = PROSE.split()
    chosen = random.Random(seed).choices(vocabulary, k=words)
    path.write_text(" ".join(chosen), encoding="utf-8")
    return path


class Workshop:
    """A home of its own, with one loaded network, and the events of its last run."""

    def __init__(self, root: Path, model: Path, text: Path):
        self.root = root
        self.model = model
        self.text = text
        self.cache = Cache(root / "cache")
        self.session = Session(root)
        self.events: list[Event] = []

    def data(self, **parts: Any) -> dict[str, Any]:
        """A recipe's JSON: RTN INT4 on the tiny network unless `parts` says otherwise."""
        text = f"file:{self.text}"
        named = {"scales": {"method": "mse"}, "rounding": {"method": "rtn"}}
        return {
            "model": {"source": "folder", "name": str(self.model)},
            "calibration": {"text": text, "windows": 4, "length": 24},
            "evaluation": {"text": text, "windows": 3, "length": 24},
            **parts,
            **{part: {**method, **parts.get(part, {})} for part, method in named.items()},
        }

    def recipe(self, **parts: Any) -> Recipe:
        """The recipe of `data`."""
        return Recipe.from_dict(self.data(**parts))

    def run(self, recipe: Recipe, emit: Any = None) -> Report:
        """Run it with this home's cache and network."""
        self.events = []
        emit = emit or self.events.append
        return run(recipe, cache=self.cache, emit=emit, root=self.root, session=self.session)

    def keys(self, recipe: Recipe) -> Keys:
        """Its stage keys."""
        return Keys(recipe, resolve_inputs(recipe, self.root))

    def planned(self, recipe: Recipe) -> dict[str, bool]:
        """Stage → whether it is said to be cached."""
        return {stage.name: stage.cached for stage in plan(recipe, self.cache, root=self.root)}

    def array(self, key: str) -> Path:
        """The file of an artifact."""
        return self.root / "cache" / "arrays" / f"{key}.safetensors"

    def lose(self, stage: str, block: int, recipe: Recipe) -> None:
        """Remove one block's artifact, as eviction would."""
        self.array(self.keys(recipe).block(stage, block)).unlink()


def stages(report: Report) -> dict[str, bool]:
    """Stage → whether the cache served it."""
    return {stage.name: stage.cached for stage in report.stages}


def numbers(report: Report) -> tuple[Any, ...]:
    """All that a run found out: equal for runs that differ only in time and place."""
    rows = [(row.name, row.weight_error, row.output_error, row.damping) for row in report.layers]
    losses = (report.window_losses, report.float_window_losses, report.window_divergences)
    return rows, losses, report.metrics, report.volume, report.assignment


def value(report: Report, metric: str) -> float:
    """One metric's value."""
    found = report.metric(metric)
    assert found is not None, f"no {metric}"
    return found.value
